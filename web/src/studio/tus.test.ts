// Tests of an upload on its way: what breaks, what is sent again, and what ends it.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Problem } from '../api/problem'
import { House, type Mishap, somebody } from './house'
import { arrived, begin, cancel, type End, type Publisher, printOf, send } from './tus'

const MIB = 1024 * 1024
const film = new Uint8Array(5 * MIB + 7).map((_, index) => (index * 31) % 251)
const URL = 'http://ingest/tus/u1'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] }))
afterEach(() => void vi.useRealTimers())

/** Sends the film to a house; timers go by as soon as they are set. */
function sending(house: House, publisher: Publisher = somebody, bytes: BlobPart = film) {
  const stop = new AbortController()
  const told: number[] = []
  const waits: { status: number; wait_ms: number }[] = []
  const watcher = {
    at: (at: number) => void told.push(at),
    waits: ({ status }: Problem, wait_ms: number) => {
      waits.push({ status, wait_ms })
      queueMicrotask(() => void vi.advanceTimersByTime(wait_ms))
    },
  }
  const end: Promise<End> = send(house.wire, URL, new Blob([bytes]), publisher, watcher, stop.signal)
  return { end, stop, told, waits }
}

function house(...mishaps: (Mishap | null)[]): House {
  const house = new House(film.length)
  house.mishaps.push(...mishaps.map((mishap) => () => mishap))
  return house
}

test('a film goes piece by piece, in order, and arrives as it is', async () => {
  const quiet = house()
  const { end, told } = sending(quiet)
  expect(await end).toEqual({ kind: 'sent' })
  expect(quiet.has(film)).toBe(true)
  expect(quiet.asked).toEqual(['HEAD', 'PATCH 0', `PATCH ${MIB}`, `PATCH ${3 * MIB}`])
  expect(told).toEqual([...told].sort((a, b) => a - b))
  expect(told.at(-1)).toBe(film.length)
})

test('paused within a piece, it stops at once and goes on from what has arrived', async () => {
  const slow = house(null, null, 'held')
  const first = sending(slow)
  await slow.held
  expect(first.told.at(-1)).toBe(2 * MIB)
  first.stop.abort()
  expect(await first.end).toEqual({ kind: 'stopped' })
  const asked = slow.asked.length
  expect(await sending(slow).end).toEqual({ kind: 'sent' })
  expect(slow.asked.slice(asked)).toEqual(['HEAD', `PATCH ${MIB}`, `PATCH ${2 * MIB}`, `PATCH ${4 * MIB}`])
  expect(slow.has(film)).toBe(true)
})

test('a connection that breaks, and a server that begins anew, cost a while and nothing that has arrived', async () => {
  const broken = house(null, null, 'broken', 'broken', { status: 502 }, { status: 503, header: (name) => (name === 'retry-after' ? '7' : null) })
  const { end, waits } = sending(broken)
  expect(await end).toEqual({ kind: 'sent' })
  expect(broken.has(film)).toBe(true)
  expect(waits.map(({ status }) => status)).toEqual([0, 0, 502, 503])
  expect(waits[3]?.wait_ms).toBe(7000)
  expect(broken.asked.filter((one) => one === 'PATCH 0')).toHaveLength(1)
})

test('waits grow, and stay below half a minute', async () => {
  const away = house(...Array.from({ length: 12 }, (): Mishap => 'broken'))
  const { end, waits } = sending(away)
  expect(await end).toEqual({ kind: 'sent' })
  expect(waits).toHaveLength(12)
  expect(waits[0]?.wait_ms).toBeLessThanOrEqual(1000)
  expect(waits.slice(-3).every(({ wait_ms }) => wait_ms >= 15_000 && wait_ms <= 30_000)).toBe(true)
})

test('a piece whose answer was lost is not sent twice', async () => {
  const forgetful = house()
  forgetful.mishaps.push(
    () => null,
    ({ body }) => {
      forgetful.stored = new Uint8Array(body ?? new ArrayBuffer(0))
      return 'broken'
    },
  )
  expect(await sending(forgetful).end).toEqual({ kind: 'sent' })
  expect(forgetful.asked.slice(0, 4)).toEqual(['HEAD', 'PATCH 0', 'HEAD', `PATCH ${MIB}`])
  expect(forgetful.has(film)).toBe(true)
})

test('who is told that other bytes are next asks which', async () => {
  const shared = house(null, { status: 409 })
  shared.stored = film.slice(0, MIB)
  const { end, waits } = sending(shared)
  expect(await end).toEqual({ kind: 'sent' })
  expect(waits).toEqual([{ status: 409, wait_ms: 0 }])
})

test('an upload that is not there any more, or that the server will not have, ends', async () => {
  for (const [status, kind] of [[404, 'gone'], [410, 'gone'], [403, 'refused'], [413, 'refused'], [400, 'refused'], [401, 'signed-out']] as const) {
    const stern = house(null, { status, text: '{"detail":"because"}' })
    const { end, waits } = sending(stern)
    expect(await end, String(status)).toMatchObject({ kind })
    expect(waits).toEqual([])
    expect(stern.asked).toEqual(['HEAD', 'PATCH 0'])
  }
  const stern = house(null, { status: 403, text: '{"detail":"no more than 3 films"}' })
  expect(await sending(stern).end).toMatchObject({ problem: { detail: 'no more than 3 films' } })
})

test('a piece that always arrives otherwise is given up', async () => {
  const spoiling = house(...Array.from({ length: 5 }, () => [null, { status: 460 }]).flat())
  const { end, waits } = sending(spoiling)
  expect(await end).toMatchObject({ kind: 'refused', problem: { status: 460 } })
  expect(waits).toHaveLength(4)
})

test('credentials that have ended are renewed once, and the piece is sent again', async () => {
  const stern = house(null, { status: 401 })
  let token = 'old'
  const renews = async () => (token = 'new') === 'new'
  const { end } = sending(stern, { shows: async () => ({ authorization: token }), renews })
  expect(await end).toEqual({ kind: 'sent' })
  expect(stern.asked.slice(0, 3)).toEqual(['HEAD', 'PATCH 0', 'PATCH 0'])
})

test('a file that cannot be read any more ends it', async () => {
  const moved = new Blob([film])
  moved.slice = () => Object.assign(new Blob(), { arrayBuffer: () => Promise.reject(new DOMException('', 'NotReadableError')) })
  const nobody = { at: () => {}, waits: () => {} }
  expect(await send(house().wire, URL, moved, somebody, nobody, new AbortController().signal)).toEqual({ kind: 'unreadable' })
})

test('a server that says something else than it was sent is not believed', async () => {
  const odd = house(null, { status: 204, header: () => '99999999999' })
  const { end, waits } = sending(odd)
  expect(await end).toEqual({ kind: 'sent' })
  expect(waits.map(({ status }) => status)).toEqual([500])
})

test('a film is announced with what is said of it', async () => {
  let shown: { [name: string]: string } = {}
  const quiet = house()
  quiet.mishaps.push(({ headers }) => ((shown = headers), null))
  const told = { filename: 'Küste.mp4', title: 'Die Küste', channel_id: '' }
  expect(await begin(quiet.wire, 'http://ingest/tus', somebody, 9, told)).toEqual({ url: URL, video: 'v1' })
  expect(shown).toMatchObject({ 'upload-length': '9', 'tus-resumable': '1.0.0', authorization: 'Bearer a' })
  const pairs = shown['upload-metadata']?.split(',').map((pair) => pair.split(' ')) ?? []
  expect(pairs.map(([key, value]) => [key, Buffer.from(value ?? '', 'base64').toString()])).toEqual([
    ['filename', 'Küste.mp4'],
    ['title', 'Die Küste'],
  ])
  const full = house({ status: 403, text: '{"detail":"full"}' })
  await expect(begin(full.wire, 'http://ingest/tus', somebody, 9, told)).rejects.toMatchObject({ status: 403, detail: 'full' })
})

test('what was cancelled already counts as cancelled', async () => {
  const quiet = house()
  await cancel(quiet.wire, URL, somebody)
  expect(quiet.there).toBe(false)
  await cancel(quiet.wire, URL, somebody)
  await expect(arrived(quiet.wire, URL, somebody, new AbortController().signal)).rejects.toMatchObject({ status: 404 })
  await expect(cancel(house({ status: 409 }).wire, URL, somebody)).rejects.toMatchObject({ status: 409 })
})

test('files that begin otherwise have another print', async () => {
  const other = film.slice()
  other[9] = 0
  expect(await printOf(new Blob([film]))).toBe(await printOf(new Blob([film])))
  expect(await printOf(new Blob([other]))).not.toBe(await printOf(new Blob([film])))
})
