// Keeps what is known about the segments a player loaded, joining the player's word with the browser's timing.
import { segmentAddress } from './address'
import { parseCacheStatus } from './cache_status'
import { type Journey, journey } from './journey'

/** What a player knows when a segment has arrived. */
export interface Load {
  /** The URL as it was asked for. */
  url: string
  size_bytes: number
  /** How much of the film it holds. */
  duration_s: number
  /** The Cache-Status field, where the node let the page read it. */
  cacheStatus: string | null
  /** When the request began, on the clock of `performance.now()`. */
  started_ms: number
  took_ms: number
}

/** The part of a PerformanceResourceTiming that is used here. */
export interface Timing {
  name: string
  startTime: number
  responseEnd: number
  nextHopProtocol: string
  transferSize: number
  encodedBodySize: number
}

/** One row of the panel. Never changed in place: a later word makes a new one. */
export interface Segment {
  /** Counts every load of the page, from 1. */
  id: number
  rendition: string
  number: number
  size_bytes: number
  duration_s: number
  took_ms: number
  /** When it had arrived, on the clock of `performance.now()`. */
  arrived_ms: number
  /** The way it took; `null` when no node told. */
  journey: Journey | null
  /** ALPN id (`h3`, `h2`, `http/1.1`); `null` until the browser has reported it, or when it may not. */
  protocol: string | null
  /** Whether the browser's own cache answered, so that no node was asked. */
  fromBrowser: boolean
}

/** Joins loads and timings in whichever order they come. */
export class SegmentLog {
  /** The latest segments, the newest first. */
  readonly segments: Segment[] = []

  private waiting: { id: number; load: Load }[] = []
  private unclaimed: Timing[] = []
  private loads = 0

  /** Takes up a load. A URL that names no segment (an init segment, say) is passed over. */
  loaded(load: Load): void {
    const address = segmentAddress(load.url)
    if (address === null) return
    const members = load.cacheStatus === null ? null : parseCacheStatus(load.cacheStatus)
    const segment: Segment = {
      id: (this.loads += 1),
      rendition: address.rendition,
      number: address.number,
      size_bytes: load.size_bytes,
      duration_s: load.duration_s,
      took_ms: load.took_ms,
      arrived_ms: load.started_ms + load.took_ms,
      journey: members === null ? null : journey(members),
      protocol: null,
      fromBrowser: false,
    }
    const timing = this.claim(load)
    if (timing === undefined) this.waiting = [...this.waiting, { id: segment.id, load }].slice(-MOST)
    this.segments.unshift(timing === undefined ? segment : timed(segment, timing))
    this.segments.splice(MOST)
  }

  /** Takes up a timing. */
  timed(timing: Timing): void {
    if (segmentAddress(timing.name) === null) return
    const index = this.waiting.findIndex(({ load }) => belongs(load, timing))
    const [match] = index < 0 ? [] : this.waiting.splice(index, 1)
    if (match === undefined) {
      this.unclaimed = [...this.unclaimed, timing].slice(-MOST)
      return
    }
    const row = this.segments.findIndex(({ id }) => id === match.id)
    const segment = this.segments[row]
    if (segment !== undefined) this.segments[row] = timed(segment, timing)
  }

  private claim(load: Load): Timing | undefined {
    const index = this.unclaimed.findIndex((timing) => belongs(load, timing))
    return index < 0 ? undefined : this.unclaimed.splice(index, 1)[0]
  }
}

/** The same URL may be asked for again after a seek: a timing belongs to the load that it overlaps. */
function belongs(load: Load, timing: Timing): boolean {
  return (
    timing.name === load.url &&
    timing.startTime < load.started_ms + load.took_ms + SLACK_MS &&
    timing.responseEnd > load.started_ms - SLACK_MS
  )
}

function timed(segment: Segment, timing: Timing): Segment {
  // A node that allows timing shows a body size; with nothing transferred, the browser had kept the bytes.
  const fromBrowser = timing.transferSize === 0 && timing.encodedBodySize > 0
  return {
    ...segment,
    took_ms: timing.responseEnd - timing.startTime,
    protocol: timing.nextHopProtocol === '' ? null : timing.nextHopProtocol,
    fromBrowser,
    // The browser keeps the field with the bytes: it tells of an earlier request.
    journey: fromBrowser ? null : segment.journey,
  }
}

/** How many segments are remembered. */
const MOST = 500

/** How far the player's clock readings may lie from the browser's, in ms. */
const SLACK_MS = 50
