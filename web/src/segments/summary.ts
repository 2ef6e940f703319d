// Sums up where the segments came from.
import type { Segment } from './log'

/** The panel's figures. */
export interface Summary {
  segments: number
  size_bytes: number
  /** Segments that the edge had in its cache, fresh or stale. */
  edgeHits: number
  /** Segments that the edge told about: what `edgeHits` is out of. */
  told: number
  /** How many segments each edge served, the busiest first. */
  edges: [node: string, segments: number][]
  /** Every protocol seen, the commonest first. */
  protocols: [protocol: string, segments: number][]
}

/** Counts over the given segments. */
export function summary(segments: readonly Segment[]): Summary {
  const marks = segments.flatMap(({ journey }) => (journey === null ? [] : [journey.edge.mark]))
  return {
    segments: segments.length,
    size_bytes: segments.reduce((sum, segment) => sum + segment.size_bytes, 0),
    edgeHits: marks.filter((mark) => mark === 'hit' || mark === 'stale').length,
    told: marks.length,
    edges: tally(segments.flatMap(({ journey }) => journey?.edge.node ?? [])),
    protocols: tally(segments.flatMap(({ protocol, fromBrowser }) => (fromBrowser ? [] : (protocol ?? [])))),
  }
}

function tally(words: string[]): [string, number][] {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return [...counts].sort(([, a], [, b]) => b - a)
}
