// Plays a manifest in hls.js, Shaka Player, dash.js or video.js (VHS) in Chromium, step by step, and judges each step by what was decoded.
//
// node e2e/players.mjs --player hls.js|shaka|dash.js|video.js --url URL --steps play,quality,audio,text,thumbnails,seek:12,iframes,ended
//   [--clearkey KIDHEX:KEYHEX]… [--license manifest|URL] [--protected] [--spki BASE64[,…]]
//   [--timeout SECONDS] [--patience SECONDS] [--shot FILE]
//
// Steps, in the order given (README.md says what each one demands):
//   play  quality  audio[:LANG]  pitch[:LANG]  text[:LANG]  thumbnails  sprites:URL  seek:SECONDS  iframes  lose:PID@HOST  kill:PID  grow:URL  ended
// The output is one JSON object on one line: {ok, fail: […], player, steps: {…}, …}. Exit 0 when every step held, 1 when
// not, 64 for wrong options. The browser is /usr/bin/chromium, or what CHROMIUM names.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'

const LIBRARIES = {
  'hls.js': 'hls.js/dist/hls.js',
  shaka: 'shaka-player/dist/shaka-player.compiled.js',
  'dash.js': 'dashjs/dist/modern/umd/dash.all.min.js',
  'video.js': 'video.js/dist/video.min.js',
}
const STEPS = ['play', 'quality', 'audio', 'pitch', 'text', 'thumbnails', 'sprites', 'seek', 'iframes', 'lose', 'kill', 'grow', 'ended']
/** A picture with less contrast than this shows nothing. */
const BLANK = 40
/** The parts of the film at which single pictures are asked for. */
const PLACES = [0.2, 0.5, 0.8]

const options = read(process.argv.slice(2))
const profile = mkdtempSync(join(tmpdir(), 'millrace-players-'))
/** The hosts that gave segments since the last look, and how many. */
let givers = {}
const seen = { fail: [], steps: {}, requests: {}, refused: [], licenses: 0, console: [] }
let context
let deadline
const server = await harness()
try {
  await Promise.race([
    visit(),
    new Promise((_, refuse) => {
      deadline = setTimeout(() => refuse(new Error(`not done after ${options.timeout} s`)), options.timeout * 1000)
    }),
  ])
} catch (error) {
  seen.fail.push(firstLine(error))
}
clearTimeout(deadline)
await Promise.race([context?.close().catch(() => {}), after(5000)])
server.close()
server.closeAllConnections()
rmSync(profile, { recursive: true, force: true, maxRetries: 3 })
const ok = seen.fail.length === 0
if (ok) delete seen.console
console.log(JSON.stringify({ ok, player: options.player, ...seen }))
process.exit(ok ? 0 : 1)

/** The whole visit: the film is loaded and each step taken. */
async function visit() {
  const page = await open()
  await page.goto(`http://localhost:${server.address().port}/`, { waitUntil: 'load', timeout: 20_000 })
  const { player, url, patience } = options
  for (const { name, argument } of options.steps) {
    const label = unused(argument === undefined ? name : `${name}:${argument}`)
    const facts = await take(page, name, argument, { player, url, patience_ms: patience * 1000, license: license() })
    seen.steps[label] = facts
    // For whoever acts between two steps.
    console.error(label)
    for (const complaint of facts.fail ?? []) seen.fail.push(`${label}: ${complaint}`)
    // Nothing that follows a film that never played, or a player that gave up, says anything new.
    if (facts.fail && (name === 'play' || facts.over)) break
  }
  Object.assign(seen, await page.evaluate(() => window.millrace.look()))
  if (options.shot) await page.screenshot({ path: options.shot })
  if (seen.errors.length > 0) seen.fail.push(`the player says: ${seen.errors[0]}`)
  if (options.protected && !seen.encrypted) seen.fail.push('no content decryption module took part')
  if (options.clearkey.size > 0 && options.license === undefined && seen.licenses === 0) seen.fail.push('no licence was asked for')
  if (seen.refused.length > 0) seen.fail.push(`refused: ${seen.refused[0]}`)
}

/** One step: what was seen, with `fail` when it did not hold. */
async function take(page, name, argument, setting) {
  const call = (method, ...args) => page.evaluate(([what, values]) => window.millrace[what](...values), [method, args])
  try {
    if (name === 'play') return await withPicture(page, await call('play', setting), '#film')
    if (name === 'quality') return await withPicture(page, await call('quality'), '#film')
    if (name === 'seek') return await withPicture(page, await call('seek', Number(argument)), '#film')
    if (name === 'audio' || name === 'pitch') return await call('audio', argument, name === 'pitch')
    if (name === 'iframes') return await iframes(page, call)
    if (name === 'lose') return await lose(call, ...argument.split('@'))
    if (name === 'kill') return await kill(call, argument)
    if (name === 'grow') return await grow(call, argument, setting.patience_ms)
    if (name === 'thumbnails' || name === 'sprites') return pictures(await call(name, PLACES, argument))
    return await call(name, argument)
  } catch (error) {
    const over = await page.evaluate(() => window.millrace.look().errors.length > 0).catch(() => true)
    return { fail: [firstLine(error)], over }
  }
}

/** The process that serves the film at a host is killed; the film must play on, beyond what was fetched before. */
async function lose(call, pid, host) {
  const before = givers
  givers = {}
  if (!(before[host] > 0)) throw new Error(`nothing came from ${host} yet, but ${JSON.stringify(before)}`)
  const { ahead_s } = await call('ahead')
  process.kill(Number(pid), 'SIGKILL')
  const facts = await call('beyond', ahead_s + 5)
  return { before, after: givers, ahead_s, ...facts }
}

/** A process that gives no segment is killed; the film must play on, beyond what was fetched before. */
async function kill(call, pid) {
  const { ahead_s } = await call('ahead')
  process.kill(Number(pid), 'SIGKILL')
  return { ahead_s, ...(await call('beyond', ahead_s + 5)) }
}

/** The film, whose status is at a URL, gets its other renditions; it must play on, beyond what was fetched before. */
async function grow(call, url, patience_ms) {
  const state = async () => (await (await fetch(url)).json()).state
  const before = await state()
  if (before !== 'processing') throw new Error(`the film is ${before} already`)
  await call('dawdle')
  for (const began = Date.now(); (await state()) !== 'ready'; await after(100)) {
    if (Date.now() - began > patience_ms) throw new Error(`the film is ${await state()} still`)
  }
  const { ahead_s } = await call('ahead')
  return { ahead_s, ...(await call('beyond', ahead_s + 5)) }
}

/** Single I-frames at several places, each looked at. */
async function iframes(page, call) {
  const shown = []
  const facts = await call('iframesBegin')
  for (const part of PLACES) {
    const place = await call('iframeAt', part)
    // An I-frame starts its segment: it is of the place that was asked for, or of a little before.
    if (!(place.frame_s <= place.asked_s + 0.05)) throw new Error(`at ${place.asked_s} s the frame of ${place.frame_s} s`)
    shown.push({ ...place, ...(await look(page, facts.where)) })
  }
  return pictures({ ...facts, ...(await call('iframesEnd')), shown })
}

/** Judges pictures of different places: none blank, and not all the same one. */
function pictures(facts) {
  const fail = []
  const blank = facts.shown.filter(({ spread }) => !(spread > BLANK))
  if (blank.length > 0) fail.push(`blank at ${blank.map(({ asked_s }) => asked_s).join(', ')} s`)
  const print = ({ pixels }) => pixels.join()
  if (new Set(facts.shown.map(print)).size < facts.shown.length) fail.push('the same picture at different places')
  const shown = facts.shown.map(({ pixels: _, ...rest }) => rest)
  return fail.length > 0 ? { ...facts, shown, fail } : { ...facts, shown }
}

/** Adds the contrast of what an element shows; a blank picture fails. */
async function withPicture(page, facts, where) {
  const { spread } = await look(page, where)
  return spread > BLANK ? { ...facts, spread } : { ...facts, spread, fail: [`the picture is blank (spread ${spread})`] }
}

/** What an element shows. A canvas reads protected pictures as black, so a screenshot is read instead. */
async function look(page, where) {
  const png = await page.locator(where).screenshot()
  return page.evaluate((data) => window.millrace.measure(`data:image/png;base64,${data}`), png.toString('base64'))
}

/** Starts the browser with a page that counts what is asked of the net. */
async function open() {
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--mute-audio',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-quic',
    '--autoplay-policy=no-user-gesture-required',
    // Otherwise `localhost` may be ::1, where nobody listens.
    '--host-resolver-rules=MAP localhost 127.0.0.1',
  ]
  if (options.spki) args.push(`--ignore-certificate-errors-spki-list=${options.spki}`)
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  const viewport = { width: 800, height: 900 }
  context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args, viewport })
  const page = context.pages()[0] ?? (await context.newPage())
  page.on('console', (message) => message.type() === 'error' && note(seen.console, message.text()))
  page.on('pageerror', (error) => note(seen.console, `uncaught: ${error}`))
  page.on('response', (response) => {
    const url = new URL(response.url())
    if (url.port === String(server.address().port) && url.pathname !== '/license') return
    if (!url.protocol.startsWith('http')) return
    const kind = kindOf(url.pathname)
    seen.requests[kind] = (seen.requests[kind] ?? 0) + 1
    if (kind === 'segment') givers[url.host] = (givers[url.host] ?? 0) + 1
    if (response.status() >= 400) note(seen.refused, `${response.status()} ${url.pathname}`)
  })
  return page
}

/** What was asked for, by its name. */
function kindOf(path) {
  if (/\.(m3u8|mpd)$/.test(path)) return 'manifest'
  if (/init[^/]*\.mp4$/.test(path)) return 'init'
  if (/iframe[^/]*\.(m4s|ts)$/.test(path)) return 'iframe'
  if (/\.(m4s|ts|mp4|m4v|m4a|aac)$/.test(path)) return 'segment'
  if (/\.vtt$/.test(path)) return 'text'
  if (/\.(jpe?g|png|webp)$/.test(path)) return 'image'
  if (/\.key$/.test(path)) return 'key'
  return /licen[cs]e|clearkey/.test(path) ? 'license' : 'other'
}

/** The licence server the player is told of; nothing when the manifest must tell it, or the film is clear. */
function license() {
  if (options.license === 'manifest') return undefined
  if (options.license) return options.license
  return options.clearkey.size > 0 ? `http://localhost:${server.address().port}/license` : undefined
}

/** Serves the page, the player and ClearKey licences on a free loopback port. */
function harness() {
  const require = createRequire(import.meta.url)
  const here = new URL('players/', import.meta.url)
  const files = {
    '/': () => ['text/html', '<!doctype html><meta charset=utf-8><title>player</title><link rel=icon href="data:,"><body style="margin:0"><script src="/player.js"></script><script type="module" src="/page.js"></script>'],
    '/player.js': () => ['text/javascript', readFileSync(libraryPath(require))],
  }
  for (const name of ['page.js', 'hlsjs.js', 'shaka.js', 'dashjs.js', 'vhs.js', 'tools.js']) {
    files[`/${name}`] = () => ['text/javascript', readFileSync(new URL(name, here))]
  }
  const listener = createServer(async (request, response) => {
    if (request.url === '/license') return answerLicense(request, response)
    const file = files[request.url]
    if (!file) return response.writeHead(404).end()
    const [type, body] = file()
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
  })
  return new Promise((ready) => listener.listen(0, '127.0.0.1', () => ready(listener)))
}

/** Where the player's library lies; it may not be importable by its path, so the package's folder is looked up. */
function libraryPath(require) {
  const [name, ...rest] = LIBRARIES[options.player].split('/')
  const root = require.resolve.paths(name).map((folder) => join(folder, name, ...rest))
  return root.find((path) => {
    try {
      return readFileSync(path).length > 0
    } catch {
      return false
    }
  })
}

/** A licence of the keys that were asked for (Encrypted Media Extensions, 9.1: ClearKey). */
async function answerLicense(request, response) {
  let body = ''
  for await (const chunk of request) body += chunk
  let kids = []
  try {
    ;({ kids } = JSON.parse(body))
  } catch {
    note(seen.console, `a licence request that is no JSON: ${body.slice(0, 80)}`)
  }
  const keys = kids.filter((kid) => options.clearkey.has(kid)).map((kid) => ({ kty: 'oct', kid, k: options.clearkey.get(kid) }))
  seen.licenses += 1
  if (keys.length === 0) return response.writeHead(403).end()
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys, type: 'temporary' }))
}

/** A step that is taken again is told apart. */
function unused(label, turn = 2) {
  if (!(label in seen.steps)) return label
  return `${label}#${turn}` in seen.steps ? unused(label, turn + 1) : `${label}#${turn}`
}

function note(list, text) {
  if (list.length < 8) list.push(String(text).slice(0, 300))
}

function firstLine(error) {
  return String(error?.message ?? error)
    .split('\n')[0]
    .replace(/^page\.evaluate: (Error: )?/, '')
}

function after(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds))
}

function read(args) {
  try {
    const text = { type: 'string' }
    const { values } = parseArgs({
      args,
      options: {
        ...{ player: text, url: text, steps: text, license: text, spki: text, timeout: text, patience: text, shot: text },
        clearkey: { type: 'string', multiple: true },
        protected: { type: 'boolean' },
      },
    })
    const { player, url, steps = 'play', license, spki, timeout = '60', patience = '15', shot } = values
    if (!(player in LIBRARIES)) throw new Error(`--player must be one of ${Object.keys(LIBRARIES).join(', ')}`)
    if (!URL.canParse(url ?? '')) throw new Error('--url must be an address')
    for (const [name, seconds] of Object.entries({ timeout, patience })) {
      if (!(Number(seconds) > 0)) throw new Error(`--${name} must be seconds`)
    }
    const clearkey = new Map((values.clearkey ?? []).map(pair))
    const secret = values.protected ?? (clearkey.size > 0 || license !== undefined)
    const common = { player, url, license, spki, shot, clearkey, protected: secret }
    return { ...common, steps: steps.split(',').map(step), timeout: Number(timeout), patience: Number(patience) }
  } catch (error) {
    console.error(`players.mjs: ${error.message}`)
    process.exit(64)
  }
}

function step(text) {
  const colon = text.indexOf(':')
  const [name, argument] = colon < 0 ? [text] : [text.slice(0, colon), text.slice(colon + 1)]
  if (!STEPS.includes(name)) throw new Error(`a step must be one of ${STEPS.join(', ')}, not ${name}`)
  if (name === 'seek' && !(Number(argument) >= 0)) throw new Error('seek must name seconds, as in seek:12')
  if (name === 'lose' && !/^[1-9]\d*@\S+$/.test(argument ?? '')) throw new Error('lose must name a process and its host, as in lose:4711@localhost:8443')
  if (name === 'kill' && !/^[1-9]\d*$/.test(argument ?? '')) throw new Error('kill must name a process, as in kill:4711')
  if (name === 'grow' && !/^https?:/.test(argument ?? '')) throw new Error("grow must name the address of a film's status")
  if (name === 'sprites' && !argument) throw new Error('sprites must name a file, as in sprites:thumbs/sprite.vtt')
  return { name, argument }
}

/** `KIDHEX:KEYHEX` as base64url, the way licences write them. */
function pair(text) {
  if (!/^[0-9a-f]{32}:[0-9a-f]{32}$/i.test(text)) throw new Error('--clearkey must be 32 hex digits, a colon, 32 hex digits')
  return text.split(':').map((hex) => Buffer.from(hex, 'hex').toString('base64url'))
}
