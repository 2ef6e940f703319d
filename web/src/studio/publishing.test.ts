// Tests of a film on its way: pauses, reloads, wrong files, and the making.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Status } from '../api/answers'
import { House, somebody } from './house'
import { Publishing } from './publishing.svelte'
import { Records, type Upload } from './records'
import { printOf } from './tus'

const film = new Uint8Array(3 * 1024 * 1024).map((_, index) => (index * 31) % 251)
const file = (name = 'film.mp4', bytes: BlobPart = film, lastModified = 5) => new File([bytes], name, { lastModified })

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

function memory() {
  const kept = new Map<string, string>()
  return { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) }
}

async function stage(statuses: Partial<Status>[] = [{ state: 'ready', progress: 100, playable: true }]) {
  const house = new House(film.length)
  const records = new Records(memory())
  const upload: Upload = { url: 'http://ingest/v1/videos/upload/tus/u1', video: 'v1', title: 'Film', name: 'film.mp4', size: film.length, modified_ms: 5, print: await printOf(file()), sent: false }
  records.put(upload)
  const status = async (): Promise<Status> => {
    const next = statuses.length > 1 ? statuses.shift() : statuses[0]
    return { state: 'processing', progress: 0, playable: false, failed: next?.state === 'failed', reason: null, ...next }
  }
  const ports = { wire: house.wire, publisher: somebody, records, status }
  // What a page finds that is loaded anew.
  const loaded = () => new Publishing(records.all()[0] ?? upload, ports)
  return { house, records, loaded }
}

test('a film is sent, made and ready', async () => {
  const { house, records, loaded } = await stage()
  const publishing = loaded()
  await publishing.choose(file())
  expect(house.has(film)).toBe(true)
  expect(publishing).toMatchObject({ phase: 'ready', progress: 100, playable: true, note: null })
  expect(records.all()[0]?.sent).toBe(true)
})

test('after a reload the same file is needed, and no other one is taken', async () => {
  const { house, loaded } = await stage()
  const before = loaded()
  house.mishaps.push(() => null, () => null, () => 'held')
  void before.choose(file())
  await house.held
  before.pause()
  expect(before.phase).toBe('paused')
  const publishing = loaded()
  await publishing.open()
  expect(publishing).toMatchObject({ phase: 'file-needed', sent_bytes: 1024 * 1024 })
  const sent = house.asked.length
  const changed = film.slice()
  changed[0] = 7
  for (const wrong of [file('other.mp4'), file('film.mp4', film.slice(1)), file('film.mp4', film, 6), file('film.mp4', changed)]) {
    await publishing.choose(wrong)
    expect(publishing.note).toMatch(/^That is another file\./)
    expect(publishing.phase).toBe('file-needed')
  }
  expect(house.asked).toHaveLength(sent)
  await publishing.choose(file())
  expect(publishing.phase).toBe('ready')
  expect(house.asked.slice(sent, sent + 2)).toEqual(['HEAD', `PATCH ${1024 * 1024}`])
  expect(house.has(film)).toBe(true)
})

test('an upload that expired meanwhile says so', async () => {
  const { house, loaded } = await stage()
  house.there = false
  const publishing = loaded()
  await publishing.open()
  expect(publishing.phase).toBe('gone')
})

test('one that arrived before the page knew is followed on', async () => {
  const { house, loaded, records } = await stage([{ state: 'failed', reason: 'It has no picture.' }])
  house.stored = film
  const publishing = loaded()
  await publishing.open()
  expect(publishing).toMatchObject({ phase: 'failed', note: 'It has no picture.' })
  expect(records.all()[0]?.sent).toBe(true)
})

test('while it is made its progress is told, and that it can be watched early', async () => {
  const { loaded, house } = await stage([{ progress: 10 }, { progress: 40, playable: true }, { state: 'ready', progress: 100, playable: true }])
  house.stored = film
  const publishing = loaded()
  const told: unknown[] = []
  const done = publishing.open()
  while (publishing.phase !== 'ready') {
    await vi.advanceTimersByTimeAsync(1000)
    told.push([publishing.progress, publishing.playable])
  }
  await done
  expect(told).toEqual([[40, true], [100, true]])
})

test('a film that could not be made is made once more where its file is still there', async () => {
  const { house, loaded } = await stage([
    { state: 'failed', reason: 'We failed.' },
    { state: 'failed', reason: 'We failed.' },
    { state: 'ready', progress: 100, playable: true },
  ])
  house.stored = film
  const publishing = loaded()
  await publishing.open()
  house.mishaps.push(() => ({ status: 409, text: '{"detail": "Its file is gone."}' }))
  await publishing.retry()
  expect(publishing).toMatchObject({ phase: 'failed', note: 'Its file is gone.' })
  const asked: string[] = []
  house.mishaps.push(({ method, url, headers }) => {
    asked.push(`${method} ${url} ${headers.authorization}`)
    return { status: 202 }
  })
  await publishing.retry()
  expect(asked).toEqual(['POST http://ingest/v1/videos/v1/retry Bearer a'])
  expect(publishing).toMatchObject({ phase: 'ready', note: null })
})

test('a film that somebody else has made once more is followed', async () => {
  const { house, loaded } = await stage([{ state: 'failed', reason: 'We failed.' }, { state: 'ready', progress: 100, playable: true }])
  house.stored = film
  const publishing = loaded()
  await publishing.open()
  house.mishaps.push(() => ({ status: 409, text: '{"detail": "It has not failed."}' }))
  const retrying = publishing.retry()
  expect(publishing).toMatchObject({ phase: 'making', note: null })
  await retrying
  expect(publishing).toMatchObject({ phase: 'ready', note: null })
})

test('a cancelled upload is forgotten, and one that was complete already is not', async () => {
  const { house, records, loaded } = await stage()
  house.mishaps.push(() => ({ status: 409 }))
  house.stored = film
  const complete = loaded()
  expect(await complete.cancel()).toBe(false)
  expect(complete.phase).toBe('ready')
  const other = loaded()
  expect(await other.cancel()).toBe(true)
  expect(records.all()).toEqual([])
  expect(house.there).toBe(false)
})
