// Tests of the segment log and of its sums.
import { expect, test } from 'vitest'
import { type Load, SegmentLog, type Timing } from './log'
import { summary } from './summary'

const url = (number: number) => `https://e/~t/v/x/720p/segment_${number}.m4s`

const load = (number: number, more: Partial<Load> = {}): Load => ({
  url: url(number),
  size_bytes: 1000,
  duration_s: 4,
  cacheStatus: 'shield-1; hit, edge-1; fwd=miss; stored',
  started_ms: 100,
  took_ms: 20,
  ...more,
})

const timing = (number: number, more: Partial<Timing> = {}): Timing => ({
  name: url(number),
  startTime: 99,
  responseEnd: 121,
  nextHopProtocol: 'h3',
  transferSize: 1200,
  encodedBodySize: 1000,
  ...more,
})

test('a load and its timing are joined, whichever comes first', () => {
  const log = new SegmentLog()
  log.loaded(load(1))
  log.timed(timing(1))
  log.timed(timing(2))
  log.loaded(load(2))
  expect(log.segments.map(({ number, protocol, took_ms }) => [number, protocol, took_ms])).toEqual([
    [2, 'h3', 22],
    [1, 'h3', 22],
  ])
})

test('a segment without a timing has no protocol yet', () => {
  const log = new SegmentLog()
  log.loaded(load(1))
  expect(log.segments[0]).toMatchObject({ protocol: null, took_ms: 20, fromBrowser: false })
})

test('a second load of one address takes the timing that it overlaps', () => {
  const log = new SegmentLog()
  log.loaded(load(1, { started_ms: 9000 }))
  log.timed(timing(1))
  expect(log.segments[0]?.protocol).toBeNull()
  log.timed(timing(1, { startTime: 9001, responseEnd: 9015, nextHopProtocol: 'h2' }))
  expect(log.segments[0]?.protocol).toBe('h2')
})

test('bytes that the browser had kept tell of no node', () => {
  const log = new SegmentLog()
  log.loaded(load(1))
  log.timed(timing(1, { transferSize: 0 }))
  expect(log.segments[0]).toMatchObject({ fromBrowser: true, journey: null })
})

test('a node that does not allow timing leaves the protocol untold', () => {
  const log = new SegmentLog()
  log.loaded(load(1))
  log.timed(timing(1, { nextHopProtocol: '', transferSize: 0, encodedBodySize: 0 }))
  expect(log.segments[0]).toMatchObject({ protocol: null, fromBrowser: false })
  expect(log.segments[0]?.journey?.edge.node).toBe('edge-1')
})

test('what is no segment is passed over', () => {
  const log = new SegmentLog()
  log.loaded(load(1, { url: 'https://e/~t/v/x/720p/init.mp4' }))
  log.timed(timing(1, { name: 'https://e/other' }))
  expect(log.segments).toEqual([])
})

test('the log is bounded, and forgets the oldest', () => {
  const log = new SegmentLog()
  for (let number = 1; number <= 600; number += 1) log.loaded(load(number))
  expect([log.segments.length, log.segments[0]?.number, log.segments.at(-1)?.number]).toEqual([500, 600, 101])
})

test('sums count hits, nodes and protocols', () => {
  const log = new SegmentLog()
  log.loaded(load(1))
  log.loaded(load(2, { cacheStatus: 'edge-1; hit' }))
  log.loaded(load(3, { cacheStatus: 'edge-2; hit' }))
  log.loaded(load(4, { cacheStatus: null }))
  for (const number of [1, 2, 3]) log.timed(timing(number))
  expect(summary(log.segments)).toEqual({
    segments: 4,
    size_bytes: 4000,
    edgeHits: 2,
    told: 3,
    edges: [['edge-1', 2], ['edge-2', 1]],
    protocols: [['h3', 3]],
  })
})
