// Reads the Cache-Status response field (RFC 9211): what each cache on the way did with a request.
import { type Item, parseList } from './structured'

/** Why a cache sent the request on (RFC 9211 §2.2). */
export type Forward = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial'

/** What one cache said. */
export interface Member {
  /** The cache's name, such as `edge-1`. */
  cache: string
  hit: boolean
  /** Why the request went on towards the origin; an unknown word counts as `miss`. */
  fwd: Forward | null
  fwdStatus: number | null
  /** Freshness left, in seconds; negative when the bytes were stale. */
  ttl_s: number | null
  stored: boolean
  /** Whether the request shared another one's fill. */
  collapsed: boolean
  detail: string | null
}

/** Parses the field; members stand in the order of the bytes' way, the origin's side first. `null` means malformed. */
export function parseCacheStatus(field: string): Member[] | null {
  const items = parseList(field)
  if (items === null || items.some((item) => typeof item.value !== 'string')) return null
  return items.map(member)
}

function member({ value, parameters }: Item): Member {
  const fwd = parameters.get('fwd')
  const hit = parameters.get('hit') === true
  return {
    cache: String(value),
    hit,
    // RFC 9211 §2.2: `hit` and `fwd` exclude each other; the hit is what the viewer got.
    fwd: hit || fwd === undefined ? null : forward(String(fwd)),
    fwdStatus: number(parameters.get('fwd-status')),
    ttl_s: number(parameters.get('ttl')),
    stored: parameters.get('stored') === true,
    collapsed: parameters.get('collapsed') === true,
    detail: text(parameters.get('detail')),
  }
}

function forward(word: string): Forward {
  return FORWARDS.find((known) => known === word) ?? 'miss'
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

const FORWARDS: readonly Forward[] = [
  'bypass',
  'method',
  'uri-miss',
  'vary-miss',
  'miss',
  'request',
  'stale',
  'partial',
]
