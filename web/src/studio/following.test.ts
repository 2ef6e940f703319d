// Tests of how a film is followed while it is made.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Status } from '../api/answers'
import { Problem } from '../api/problem'
import { follow } from './following'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const making: Status = { state: 'processing', progress: 3, playable: false, failed: false, reason: null }

test('while nothing changes it is asked ever less often, and at once again when something does', async () => {
  const at_ms: number[] = []
  let status = making
  const stop = new AbortController()
  const done = follow(async () => (at_ms.push(Date.now()), status), () => {}, stop.signal)
  await vi.advanceTimersByTimeAsync(60_000)
  const gaps = () => at_ms.slice(1).map((at, index) => at - (at_ms[index] ?? 0))
  expect(gaps().slice(0, 3)).toEqual([1000, 1500, 2250])
  expect(gaps().at(-1)).toBe(10_000)
  status = { ...making, progress: 4 }
  const asked = at_ms.length
  await vi.advanceTimersByTimeAsync(20_000)
  expect(gaps().slice(asked - 1, asked + 2)).toEqual([10_000, 1000, 1500])
  stop.abort()
  await done
})

test('trouble is waited for as long as the server asks, and a refusal ends it', async () => {
  const answers: (Status | Problem)[] = [new Problem(503, null, null, 20), making, new Problem(404)]
  const told: Status[] = []
  const ask = async () => {
    const next = answers.shift() ?? making
    if (next instanceof Problem) throw next
    return next
  }
  const done = follow(ask, (status) => told.push(status), new AbortController().signal)
  const refused = expect(done).rejects.toMatchObject({ status: 404 })
  await vi.advanceTimersByTimeAsync(19_000)
  expect(told).toEqual([])
  await vi.advanceTimersByTimeAsync(5000)
  expect(told).toEqual([making])
  await refused
})
