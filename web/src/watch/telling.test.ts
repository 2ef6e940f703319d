import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Telling, type Told } from './telling'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function stage(answer: () => Promise<number> = async () => 202) {
  const video = Object.assign(new EventTarget(), { paused: false, ended: false, seeking: false })
  const told: Told[][] = []
  const telling = new Telling('s1', video as unknown as HTMLVideoElement, (_, events) => {
    told.push(events)
    return answer()
  })
  const happen = (name: string, after_ms = 0) => {
    vi.advanceTimersByTime(after_ms)
    video.dispatchEvent(new Event(name))
  }
  const types = () => told.flat().map(({ type }) => type)
  return { video, told, telling, happen, types }
}

test('a film that starts, stands still, is paused and left is told of in order', async () => {
  const { told, telling, happen, types } = stage()
  happen('waiting')
  happen('playing', 700)
  telling.quality('127.0.0.1:8443', 2_500_400)
  happen('waiting', 1000)
  happen('playing', 500)
  happen('pause', 1000)
  happen('play', 1000)
  telling.end()
  happen('playing', 1000)
  expect(types()).toEqual(['start', 'quality_change', 'rebuffer_start', 'rebuffer_end', 'pause', 'resume', 'end'])
  const all = told.flat()
  expect(all.map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4, 5, 6])
  expect(all[0]?.t_ms).toBe(700)
  expect(all[1]).toMatchObject({ bitrate_kbps: 2500, edge: '127.0.0.1:8443' })
  expect(all[2]).toMatchObject({ cause: 'stall' })
  expect(all[6]).toMatchObject({ completed: false, t_ms: 4200 })
})

test('who jumps waits willingly, and who saw the end has left', () => {
  const { video, telling, happen, told, types } = stage()
  happen('playing')
  happen('seeking')
  happen('waiting')
  happen('playing')
  video.ended = true
  happen('pause')
  happen('ended')
  telling.end()
  expect(types()).toEqual(['start', 'rebuffer_start', 'rebuffer_end', 'end'])
  expect(told.flat()[1]).toMatchObject({ cause: 'seek' })
  expect(told.flat()[3]).toMatchObject({ completed: true })
})

test('a film that fails is told of with a word for why', () => {
  const { telling, told } = stage()
  telling.failed('network:502')
  expect(told.flat()[0]).toMatchObject({ type: 'error', code: 'network:502' })
})

test('what could not be sent is sent again, and what was is not', async () => {
  let answer = 503
  const { told, happen, types } = stage(async () => answer)
  happen('playing')
  await vi.advanceTimersByTimeAsync(10_000)
  answer = 202
  await vi.advanceTimersByTimeAsync(10_000)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(told.map((events) => events.length)).toEqual([2, 3, 1])
  expect(types()).toEqual(['start', 'progress', 'start', 'progress', 'progress', 'progress'])
})

test('where nobody takes events nothing more is said', async () => {
  const { told, telling, happen } = stage(async () => 404)
  happen('playing')
  await vi.advanceTimersByTimeAsync(10_000)
  happen('pause')
  await vi.advanceTimersByTimeAsync(60_000)
  telling.end()
  expect(told.length).toBe(1)
})
