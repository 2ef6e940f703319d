// Turns what the caches said into the way a segment took, from the viewer's side.
import type { Member } from './cache_status'

/** What a node did, in the words of the panel. */
export type Mark = 'hit' | 'stale' | 'revalidated' | 'miss' | 'pass' | 'unasked' | 'unknown'

/** One node on a segment's way. */
export interface Stop {
  node: string
  mark: Mark
  /** The mark in a few words, with what else the node told. */
  note: string
}

/** The way of one segment. */
export interface Journey {
  /** The node that served the viewer. */
  edge: Stop
  /** The nodes behind it, the nearest first. */
  upstream: Stop[]
}

/** Reads a journey off parsed Cache-Status members; `null` when no node spoke. */
export function journey(members: readonly Member[]): Journey | null {
  const [nearest, ...behind] = members.toReversed()
  if (nearest === undefined) return null
  const upstream: Stop[] = []
  let asked = !nearest.hit
  for (const member of behind) {
    // Members behind a hit were stored with the bytes: they tell of the first fill, not of this request.
    upstream.push(asked ? stop(member) : { node: member.cache, mark: 'unasked', note: 'not asked' })
    asked &&= !member.hit
  }
  return { edge: stop(nearest), upstream }
}

function stop(member: Member): Stop {
  const mark = markOf(member)
  const extras = [
    member.stored ? 'stored' : null,
    member.collapsed ? 'shared a fill' : null,
    member.fwdStatus === null ? null : `upstream said ${member.fwdStatus}`,
    member.detail,
  ].filter((extra) => extra !== null)
  return { node: member.cache, mark, note: [WORDS[mark], ...extras].join(', ') }
}

function markOf(member: Member): Mark {
  if (member.hit) return (member.ttl_s ?? 0) < 0 ? 'stale' : 'hit'
  switch (member.fwd) {
    case null:
      return 'unknown'
    case 'bypass':
    case 'method':
      return 'pass'
    case 'stale':
      return member.fwdStatus === 304 ? 'revalidated' : 'miss'
    default:
      return 'miss'
  }
}

/** Each mark as a viewer reads it. */
export const WORDS: Readonly<Record<Mark, string>> = {
  hit: 'hit',
  stale: 'stale hit',
  revalidated: 'revalidated',
  miss: 'miss',
  pass: 'passed on',
  unasked: 'not asked',
  unknown: 'not told',
}
