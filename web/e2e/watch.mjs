// Plays a film on the watch page in Chromium, to its end, and checks the picture, the sound, the protocol and the panel.
//
// node e2e/watch.mjs --page http://127.0.0.1:PORT/watch?v=ID --format hls|hls-ts|dash --edge localhost:PORT[,…]
//   --protocol h3|h2|http/1.1 [--spki BASE64[,…]] [--until ended|SECONDS] [--timeout SECONDS] [--shot FILE]
//   [--protected]  a content decryption module must have taken part
//   [--visit]      the film is paused, goes on, is jumped in, and the page is left at the end
//   [--beat JSON]  what heartbeats are answered, every second, in place of what the API says; with `stop` the page must
//                  stop, with `manifests` it must go on under their token
//
// The last line of the output is one JSON object: {ok, fail: […], …}. Exit 0 when ok, 1 when not, 64 for wrong options.
// The browser is /usr/bin/chromium, or what CHROMIUM names.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'

const FORMATS = ['hls', 'hls-ts', 'dash']
const PROTOCOLS = ['h3', 'h2', 'http/1.1']
const MARKS = ['hit', 'miss', 'stale', 'revalidated', 'pass']
/** A picture with less contrast than this shows nothing. */
const BLANK = 40

const options = read(process.argv.slice(2))
const profile = mkdtempSync(join(tmpdir(), 'millrace-watch-'))
const complaints = []
let context
let verdict
let deadline
try {
  verdict = await Promise.race([
    watch(),
    new Promise((_, refuse) => {
      deadline = setTimeout(() => refuse(new Error(`not done after ${options.timeout} s`)), options.timeout * 1000)
    }),
  ])
} catch (error) {
  verdict = { fail: [String(error?.message ?? error).split('\n')[0]] }
}
clearTimeout(deadline)
const ok = verdict.fail.length === 0
if (!ok) verdict = { ...verdict, complaints: complaints.slice(0, 8), ...(await lastWords()) }
await Promise.race([context?.close().catch(() => {}), after(5000)])
rmSync(profile, { recursive: true, force: true, maxRetries: 3 })
console.log(JSON.stringify({ ok, format: options.format, protocol: options.protocol, ...verdict }))
process.exit(ok ? 0 : 1)

/** The whole visit; returns what was seen and what was wrong with it. */
async function watch() {
  const page = await open()
  // On a slow machine the end may have been told already when the page goes.
  const told = page.waitForRequest(tellsTheEnd, { timeout: 0 }).catch(() => null)
  if (options.beat) await answerBeats(page)
  await page.goto(address(), { waitUntil: 'domcontentloaded', timeout: 20_000 })
  if (options.beat?.action === 'stop') return stopped(page)
  await page.waitForFunction(reached, { at_s: 1, half: true }, { timeout: 0, polling: 100 })
  const early = await spread(page)
  if (options.visit) await visit(page)
  const at_s = options.until === 'ended' ? Number.POSITIVE_INFINITY : Number(options.until)
  await page.waitForFunction(reached, { at_s, half: false }, { timeout: 0, polling: 100 })
  // The last timings and rows are drawn a moment after the last bytes.
  await page.waitForFunction(settled, null, { timeout: 3000 }).catch(() => {})
  const seen = await page.evaluate(look)
  seen.spread = Math.max(early, await spread(page))
  if (options.shot) await page.screenshot({ path: options.shot, fullPage: true })
  const verdict = judge(seen)
  if (options.visit) {
    // What the page has not told yet it tells as it goes.
    await page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pagehide')))
    if (!(await Promise.race([told, after(5000)]))) verdict.fail.push('the page went without a word')
    await after(500)
  }
  return verdict
}

/** Whether a request tells the statistics that the film is over. */
function tellsTheEnd(request) {
  return /playback\/events/.test(request.url()) && Boolean(request.postData()?.includes('"type":"end"'))
}

/** Pauses, goes on, and jumps to where nothing was fetched yet, if the film is that long. */
async function visit(page) {
  await page.evaluate(() => document.querySelector('video').pause())
  await after(1500)
  await page.evaluate(() => document.querySelector('video').play())
  await page.waitForFunction((past_s) => document.querySelector('video').currentTime > past_s, 2, { timeout: 0, polling: 100 })
  await page.evaluate(() => {
    const video = document.querySelector('video')
    video.currentTime = video.duration * 0.75
  })
}

/** Has the page send a heartbeat a second, and answers it. */
async function answerBeats(page) {
  await page.route(/\/v1\/playback\/start$/, async (route) => {
    const answer = await route.fetch()
    const playback = await answer.json()
    playback.heartbeat.every_s = 1
    await route.fulfill({ response: answer, json: playback })
  })
  // Once something was fetched under the token that the session began with.
  let fetched = false
  page.on('requestfinished', (request) => (fetched ||= /\/segment_\d+\./.test(request.url())))
  await page.route(/\/heartbeat$/, (route) => route.fulfill({ json: fetched ? options.beat : { action: 'continue' } }))
}

/** The page must stop the film, say why, and fetch nothing more. */
async function stopped(page) {
  await page.waitForFunction(() => window.millrace?.error, null, { timeout: 0, polling: 100 })
  const look = () => page.evaluate(() => ({ at_s: document.querySelector('video').currentTime, asked: window.timings.length }))
  const before = await look()
  await after(2500)
  const now = await look()
  const seen = await page.evaluate(() => ({ error: window.millrace.error, player: window.millrace.player, veil: document.querySelector('.veil')?.textContent ?? null }))
  const fail = []
  if (now.at_s !== before.at_s) fail.push('the film went on')
  if (seen.player !== null) fail.push('the player is still at work')
  if (now.asked - before.asked > 1) fail.push(`${now.asked - before.asked} requests came after the stop`)
  if (!seen.veil?.includes(seen.error)) fail.push('the page does not show why')
  return { fail, ...seen }
}

/** What is wrong with what was seen. */
function judge({ rows, requests, ...seen }) {
  const fail = []
  const must = (holds, complaint) => holds || fail.push(complaint)
  must(seen.error === null, `the page says: ${seen.error}`)
  must(seen.format === options.format, `format ${seen.format} was played`)
  must(options.until !== 'ended' || seen.ended, 'the film did not reach its end')
  must(seen.frames > 0, 'no frame was decoded')
  must(seen.spread > BLANK, `the picture is blank (spread ${seen.spread})`)
  must(seen.sound !== null, 'the page does not know whether the film has sound')
  must(!seen.sound || seen.audio_bytes > 0, 'the film has sound, and none was decoded')
  must(!options.protected || seen.encrypted, 'no content decryption module took part')
  must(requests.length > 0, 'no segment was asked for')
  const renewed = Object.values(options.beat?.manifests ?? {}).find(Boolean)?.match(/\/~[^/]+\//)?.[0]
  if (renewed) {
    must(requests.at(-1).name.includes(renewed), 'the last segment was asked for under the old token')
    must(!requests[0].name.includes(renewed), 'the first segment was asked for under the new token')
  }
  for (const { name, protocol } of requests) {
    const url = new URL(name)
    must(protocol === options.protocol, `${tail(url)} came over ${protocol || 'an untold protocol'}`)
    must(options.edges.includes(url.host), `${tail(url)} came from ${url.host}`)
  }
  must(rows.length > 0, 'the panel has no row')
  for (const { segment, node, mark } of rows) {
    must(node && MARKS.includes(mark), `panel row ${segment}: node ${node ?? 'untold'}, ${mark ?? 'untold'}`)
  }
  const policy = complaints.filter((text) => /Content Security Policy/i.test(text))
  must(policy.length === 0, `the page broke its policy: ${policy[0]}`)
  return {
    fail: [...new Set(fail)].slice(0, 12),
    ...seen,
    requests: requests.length,
    protocols: tally(requests.map(({ protocol }) => protocol || 'untold')),
    rows: rows.length,
    nodes: tally(rows.map(({ node }) => node ?? 'untold')),
    marks: tally(rows.map(({ mark }) => mark ?? 'untold')),
  }
}

/** Starts the browser with a page that notes the timing of every request. */
async function open() {
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--mute-audio',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--autoplay-policy=no-user-gesture-required',
    // Otherwise `localhost` may be ::1, where no edge listens.
    '--host-resolver-rules=MAP localhost 127.0.0.1',
  ]
  if (options.spki) args.push(`--ignore-certificate-errors-spki-list=${options.spki}`)
  if (options.protocol === 'h3') args.push('--enable-quic', `--origin-to-force-quic-on=${options.edges.join(',')}`)
  else args.push('--disable-quic')
  if (options.protocol === 'http/1.1') args.push('--disable-http2')
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  const viewport = { width: 1280, height: 900 }
  context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args, viewport })
  const page = context.pages()[0] ?? (await context.newPage())
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text().slice(0, 300)))
  page.on('pageerror', (error) => complaints.push(`uncaught: ${String(error).slice(0, 300)}`))
  await page.addInitScript(() => {
    window.timings = []
    new PerformanceObserver((list) => window.timings.push(...list.getEntries())).observe({ type: 'resource', buffered: true })
  })
  return page
}

/** In the page: whether the film has come far enough, ended or failed. With `half`, half of a short film is enough. */
function reached({ at_s, half }) {
  const video = document.querySelector('video')
  const { millrace } = window
  if (!video || !millrace) return false
  const goal = half && video.duration > 0 ? Math.min(at_s, video.duration / 2) : at_s
  return millrace.error !== null || millrace.ended || video.currentTime >= goal
}

/** In the page: whether every segment is told with its protocol. */
function settled() {
  return window.millrace.segments.every(({ protocol, fromBrowser }) => protocol !== null || fromBrowser)
}

/** In the page: everything that is judged. */
function look() {
  const video = document.querySelector('video')
  const { player, format, quality, qualities, sound, ended, error, source, notice } = window.millrace
  const playback = video.getVideoPlaybackQuality()
  return {
    ...{ player, format, quality, qualities, sound, ended, error, source, notice },
    position_s: Number(video.currentTime.toFixed(2)),
    duration_s: Number(video.duration.toFixed(2)),
    width: video.videoWidth,
    height: video.videoHeight,
    frames: playback.totalVideoFrames,
    dropped: playback.droppedVideoFrames,
    audio_bytes: video.webkitAudioDecodedByteCount ?? 0,
    encrypted: Boolean(video.mediaKeys),
    requests: window.timings
      .filter(({ name }) => /\/v\/[^/]+\/(@[^/]+\/)?[^/]+\/(segment_\d+\.(m4s|ts)|init\.mp4)(\?|$)/.test(name))
      .map(({ name, nextHopProtocol }) => ({ name, protocol: nextHopProtocol })),
    rows: [...document.querySelectorAll('tr[data-segment]')].map((row) => {
      const node = row.querySelector('[data-node]')
      return { segment: row.dataset.segment, node: node?.dataset.node, mark: node?.dataset.mark }
    }),
  }
}

/** How far the darkest and the brightest spot of the picture lie apart, 0 to 255. */
async function spread(page) {
  const box = await page.locator('video').boundingBox()
  // The middle only, where no control is drawn.
  const clip = { x: box.x + box.width / 4, y: box.y + box.height / 5, width: box.width / 2, height: box.height / 2 }
  const png = (await page.screenshot({ clip })).toString('base64')
  const scratch = await context.newPage()
  try {
    return await scratch.evaluate(async (data) => {
      const image = new Image()
      image.src = `data:image/png;base64,${data}`
      await image.decode()
      const canvas = document.createElement('canvas')
      canvas.width = 64
      canvas.height = 36
      const brush = canvas.getContext('2d')
      brush.drawImage(image, 0, 0, 64, 36)
      const greens = brush.getImageData(0, 0, 64, 36).data.filter((_, index) => index % 4 === 1)
      return Math.max(...greens) - Math.min(...greens)
    }, png)
  } finally {
    await scratch.close()
  }
}

/** What a page that failed shows, for whoever reads the report. */
async function lastWords() {
  const page = context?.pages()[0]
  if (!page) return {}
  const asked = page.evaluate(() => ({ page_state: window.millrace?.state ?? null, page_error: window.millrace?.error ?? null }))
  return (await Promise.race([asked.catch(() => ({})), after(3000)])) ?? {}
}

function address() {
  const url = new URL(options.page)
  url.searchParams.set('format', options.format)
  return url.href
}

function tail(url) {
  return url.pathname.split('/').slice(-2).join('/')
}

function tally(words) {
  const counts = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
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
        ...{ page: text, format: text, edge: text, spki: text, protocol: text, until: text, timeout: text, shot: text },
        ...{ protected: { type: 'boolean' }, visit: { type: 'boolean' }, beat: text },
      },
    })
    const { page, format, edge, spki, protocol, until = 'ended', timeout = '120', shot } = values
    if (!URL.canParse(page ?? '')) throw new Error('--page must be an address')
    if (!FORMATS.includes(format)) throw new Error(`--format must be one of ${FORMATS.join(', ')}`)
    if (!PROTOCOLS.includes(protocol)) throw new Error(`--protocol must be one of ${PROTOCOLS.join(', ')}`)
    if (!edge) throw new Error('--edge must name at least one host:port')
    if (until !== 'ended' && !(Number(until) > 0)) throw new Error('--until must be `ended` or seconds')
    if (!(Number(timeout) > 0)) throw new Error('--timeout must be seconds')
    const { protected: secret = false, visit = false } = values
    const beat = values.beat === undefined ? null : JSON.parse(values.beat)
    return { page, format, edges: edge.split(','), spki, protocol, until, timeout: Number(timeout), shot, protected: secret, visit, beat }
  } catch (error) {
    console.error(`watch.mjs: ${error.message}`)
    process.exit(64)
  }
}
