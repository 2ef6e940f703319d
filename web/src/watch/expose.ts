// `window.millrace`: what the page tells to a test or to a curious person at the console.
import type { Format } from '../player/engine'
import type { Segment } from '../segments/log'
import type { Watching } from './watching.svelte'

/** Read-only; every field is read anew at each access. Described in README.md. */
export interface Millrace {
  readonly state: 'waiting' | 'ready' | 'failed'
  readonly player: 'hls.js' | 'shaka' | null
  readonly format: Format
  readonly quality: string | null
  readonly qualities: readonly string[]
  readonly sound: boolean | null
  /** Where the manifest came from. */
  readonly source: string | null
  readonly notice: string | null
  readonly ended: boolean
  readonly error: string | null
  readonly segments: readonly Segment[]
}

declare global {
  interface Window {
    millrace?: Millrace
  }
}

/** Puts the object in place. */
export function expose(watching: Watching, video: HTMLVideoElement): void {
  window.millrace = {
    get state() {
      return watching.phase.kind
    },
    get player() {
      return watching.player
    },
    get format() {
      return watching.format
    },
    get quality() {
      return watching.playing
    },
    get qualities() {
      return watching.qualities.map(({ id }) => id)
    },
    get sound() {
      return watching.sound
    },
    get source() {
      return watching.source?.url ?? null
    },
    get notice() {
      return watching.notice
    },
    get ended() {
      return video.ended
    },
    get error() {
      const { phase } = watching
      return phase.kind === 'failed' ? [phase.sentence, phase.detail].filter(Boolean).join(' ') : null
    },
    get segments() {
      return watching.segments
    },
  }
}
