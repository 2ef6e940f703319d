// What a player does for the page: the port that each player library is adapted to.
import type { Load } from '../segments/log'
import type { Licences } from './licences'
import type { Pass } from './pass'

/** How a film is delivered. */
export type Format = 'hls' | 'hls-ts' | 'dash'

/** The formats in the order of preference; `key` is the name in the API's `manifests`. */
export const FORMATS: readonly { id: Format; key: string; label: string; note: string }[] = [
  { id: 'hls', key: 'hls', label: 'HLS', note: 'fMP4 segments, played by hls.js' },
  { id: 'hls-ts', key: 'hls_ts', label: 'HLS (TS)', note: 'MPEG-TS segments, played by hls.js' },
  { id: 'dash', key: 'dash', label: 'DASH', note: 'fMP4 segments, played by Shaka Player' },
]

/** A quality to choose; its id is the rendition's, so that a choice survives a change of format. */
export interface Quality {
  id: string
  label: string
  bitrate_bps: number
}

/** A choice of quality: a rendition's id, or the player's own judgement. */
export type Choice = 'auto' | (string & {})

/** Where and how to begin. */
export interface Start {
  url: string
  position_s: number
  choice: Choice
  /** Where the keys of a protected film come from; `null` where none are needed. */
  licences: Licences | null
  /** The token in the addresses. */
  pass: Pass
}

/** What a player tells the page. */
export interface Listener {
  /** The manifest is read: what may be chosen, the best first, and whether the film has sound. */
  opened(qualities: Quality[], sound: boolean): void
  /** The rendition that plays from now on. */
  playing(quality: string): void
  /** A segment (or an init segment) has arrived. */
  loaded(load: Load): void
  /** The player cannot go on. */
  failed(failure: Failure): void
}

/** Why a player cannot go on. */
export interface Failure {
  kind: 'network' | 'media' | 'licence' | 'unsupported'
  /** The HTTP status where there was an answer. */
  status: number | null
  /** The player's own words, for a report. */
  detail: string
}

/** A player at work on a video element. */
export interface Engine {
  readonly name: 'hls.js' | 'shaka'
  choose(choice: Choice): void
  destroy(): Promise<void>
}

/** One sentence that a viewer understands. */
export function failureSentence(failure: Failure): string {
  switch (failure.kind) {
    case 'unsupported':
      return 'This browser cannot play the film in this format. Try another format below.'
    case 'media':
      return 'This browser could not decode the film. Try another format below.'
    case 'licence':
      return failure.status === 401 || failure.status === 403
        ? 'The licence to play this film was refused.'
        : 'The licence to play this film could not be had.'
    case 'network':
      return failure.status === null || failure.status === 0
        ? 'The film could not be fetched: no node answered.'
        : failure.status === 401 || failure.status === 403
          ? 'The node that serves the film refused access to it.'
          : 'The node that serves the film could not deliver it.'
  }
}
