// Uploads a film in the studio in Chromium: with a pause, a reload and a wrong file in between, until it is ready.
//
// node e2e/studio.mjs --page http://127.0.0.1:PORT/studio --file FILM [--title TEXT] [--speed BYTES_PER_S]
//   [--timeout SECONDS] [--shot FILE]
//
// At that speed (400000) the film must take some seconds. The last line of the output is one JSON object:
// {ok, fail: […], video, …}. Exit 0 when ok, 1 when not, 64 for wrong options. The browser is /usr/bin/chromium, or what
// CHROMIUM names.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'

const options = read(process.argv.slice(2))
const size = statSync(options.file).size
const profile = mkdtempSync(join(tmpdir(), 'millrace-studio-'))
const seen = { fail: [], video: null, complaints: [] }
/** What was asked of ingest: the method, and of bytes where they begin. */
const asked = []
let context
let deadline
try {
  await Promise.race([
    visit(),
    new Promise((_, refuse) => {
      deadline = setTimeout(() => refuse(new Error(`not done after ${options.timeout} s`)), options.timeout * 1000)
    }),
  ])
} catch (error) {
  seen.fail.push(String(error?.message ?? error).split('\n')[0])
  seen.page = await Promise.race([context?.pages()[0]?.locator('main').innerText().catch(() => null), after(3000)])
}
clearTimeout(deadline)
await Promise.race([context?.close().catch(() => {}), after(5000)])
rmSync(profile, { recursive: true, force: true, maxRetries: 3 })
const ok = seen.fail.length === 0
console.log(JSON.stringify({ ok, ...seen }))
process.exit(ok ? 0 : 1)

/** The whole visit. */
async function visit() {
  const page = await open()
  const slow = await context.newCDPSession(page)
  const speed = (uploadThroughput) => slow.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput })
  await slow.send('Network.enable')
  await page.goto(options.page, { waitUntil: 'domcontentloaded', timeout: 20_000 })

  await speed(options.speed)
  await page.getByLabel('File').setInputFiles(options.file)
  await page.getByLabel('Title').fill(options.title)
  await page.getByRole('button', { name: 'Publish' }).click()
  const card = page.locator('[data-video]')
  await is(page, 'sending')
  seen.video = await card.getAttribute('data-video')
  await sent(page, 0.4)
  await card.getByRole('button', { name: 'Pause' }).press('Enter')
  await is(page, 'paused')
  await still('paused')

  await card.getByRole('button', { name: 'Go on' }).click()
  await sent(page, 0.6)
  await card.getByRole('button', { name: 'Pause' }).click()
  await is(page, 'paused')
  await page.reload({ waitUntil: 'domcontentloaded' })
  await is(page, 'file-needed')
  const arrived = await uploaded(page)
  seen.arrived = arrived
  must(arrived > 0 && arrived < size, `${arrived} of ${size} bytes have arrived after the reload`)
  const kept = await page.evaluate(() => JSON.stringify([Object.values(localStorage), Object.values(sessionStorage)]))
  must(!/password|bearer/i.test(kept), 'the browser keeps more than it should')

  const before = asked.length
  const wrong = join(profile, basename(options.file))
  writeFileSync(wrong, Buffer.alloc(size))
  await choose(card, wrong)
  await page.getByText(/^That is another file/).waitFor()
  await is(page, 'file-needed')
  must(asked.length === before, `a wrong file is sent: ${asked.slice(before)}`)
  await choose(card, options.file)
  await is(page, 'sending')
  await sent(page, 0.8)
  await speed(-1)
  await made(page, card)
  seen.asked = asked.length
  const again = asked.slice(before).filter((one) => one.startsWith('PATCH'))
  must(again[0] === `PATCH ${arrived}`, `after the reload it goes on with ${again[0]}, not at ${arrived}`)
  if (options.shot) await page.screenshot({ path: options.shot, fullPage: true })
  const policy = seen.complaints.filter((text) => /Content Security Policy/i.test(text))
  must(policy.length === 0, `the page broke its policy: ${policy[0]}`)
}

/** Waits until the film is ready, and looks how it gets there. */
async function made(page, card) {
  const progress = await page.evaluate(async () => {
    const [told, texts] = [[], new Set()]
    for (;;) {
      const card = document.querySelector('[data-video]')
      const { phase } = card.dataset
      const bar = phase === 'making' ? card.querySelector('progress') : null
      if (bar !== null && told.at(-1) !== bar.value) told.push(bar.value)
      if (bar !== null && card.querySelector('a')) texts.add(card.querySelector('[role=status]').textContent)
      if (!['sending', 'making'].includes(phase)) return { told, early: [...texts], phase, text: card.innerText }
      await new Promise((done) => setTimeout(done, 50))
    }
  })
  Object.assign(seen, { progress: progress.told, early: progress.early.some((text) => /can be watched already/.test(text)) })
  const rises = progress.told.every((value, index) => index === 0 || value > progress.told[index - 1])
  must(rises && progress.told.length > 0, `progress goes ${progress.told}`)
  must(progress.phase === 'ready', `it ends as ${progress.phase}: ${progress.text}`)
  const link = await card.getByRole('link', { name: 'Watch' }).getAttribute('href')
  must(link === `/watch?v=${seen.video}`, `the link leads to ${link}`)
}

async function choose(card, file) {
  await card.locator('input[type=file]').setInputFiles(file)
}

async function is(page, phase) {
  await page.locator(`[data-phase=${phase}]`).waitFor({ timeout: 30_000 })
}

/** Waits until that part of the film has gone out. */
async function sent(page, part) {
  await page.waitForFunction((bytes) => (document.querySelector('[data-video] progress')?.value ?? 0) >= bytes, size * part, { timeout: 0, polling: 50 })
}

async function uploaded(page) {
  return page.locator('[data-video] progress').evaluate(({ value }) => value)
}

/** Nothing may be asked while nothing is to happen. */
async function still(when) {
  const before = asked.length
  await after(700)
  must(asked.length === before, `${when}, it asks ${asked.slice(before)}`)
}

async function open() {
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args, viewport: { width: 1280, height: 900 } })
  const page = context.pages()[0] ?? (await context.newPage())
  page.on('console', (message) => message.type() === 'error' && seen.complaints.push(message.text().slice(0, 300)))
  page.on('pageerror', (error) => seen.fail.push(`uncaught: ${String(error).slice(0, 300)}`))
  page.on('request', (request) => {
    if (!/\/upload\/tus/.test(request.url()) || request.method() === 'OPTIONS') return
    const offset = request.headers()['upload-offset']
    asked.push(offset === undefined ? request.method() : `${request.method()} ${offset}`)
  })
  return page
}

function must(holds, complaint) {
  if (!holds) seen.fail.push(complaint)
}

function after(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds))
}

function read(args) {
  try {
    const text = { type: 'string' }
    const { values } = parseArgs({ args, options: { page: text, file: text, title: text, speed: text, timeout: text, shot: text } })
    const { page, file, title = 'From the studio', speed = '400000', timeout = '120', shot } = values
    if (!URL.canParse(page ?? '')) throw new Error('--page must be an address')
    if (!file) throw new Error('--file must name a film')
    if (!(Number(speed) > 0) || !(Number(timeout) > 0)) throw new Error('--speed and --timeout must be numbers')
    return { page, file, title, speed: Number(speed), timeout: Number(timeout), shot }
  } catch (error) {
    console.error(`studio.mjs: ${error.message}`)
    process.exit(64)
  }
}
