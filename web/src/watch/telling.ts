// Tells the control plane how a session goes: what the video element does, as playback events.

/** An event as the API has it. */
export interface Told {
  seq: number
  t_ms: number
  type: string
  [member: string]: unknown
}

/** Sends events; `last` is for a page that goes away. Resolves to the status of the answer. */
export type Send = (session: string, events: Told[], last: boolean) => Promise<number>

/** One session, from when it begins. `end` when it is over. */
export class Telling {
  private readonly began_ms = performance.now()
  private readonly deaf = new AbortController()
  private readonly sending = setInterval(() => this.beat(), EVERY_MS)
  private untold: Told[] = []
  private seq = 0
  private started = false
  private stalled = false
  private over = false
  private hushed = false

  constructor(
    private readonly session: string,
    private readonly video: HTMLVideoElement,
    private readonly send: Send,
  ) {
    const on = (name: string, act: () => void) => video.addEventListener(name, act, { signal: this.deaf.signal })
    on('playing', () => this.plays())
    on('pause', () => this.started && !video.ended && this.say('pause'))
    on('play', () => this.started && this.say('resume'))
    on('waiting', () => this.stands(video.seeking))
    on('seeking', () => this.stands(true))
    // Another player takes the video element: the viewer asked for it.
    on('emptied', () => this.stands(true))
    on('ended', () => this.started && this.finish(true))
  }

  /** Another place, or another rendition, plays from now on. */
  quality(edge: string | undefined, bitrate_bps: number | undefined): void {
    if (bitrate_bps === undefined) return
    this.say('quality_change', { bitrate_kbps: Math.round(bitrate_bps / 1000), ...(edge && { edge }) })
  }

  /** The film cannot go on; `code` says why, in a word. */
  failed(code: string): void {
    this.say('error', { code })
    this.flush(false)
  }

  /** The session is over. */
  end(): void {
    this.finish(false)
    this.flush(true)
    this.hush()
  }

  private hush(): void {
    this.deaf.abort()
    clearInterval(this.sending)
    this.hushed = true
  }

  private plays(): void {
    if (!this.started) this.say('start')
    else if (this.stalled) this.say('rebuffer_end')
    this.started = true
    this.stalled = false
    this.over = false
  }

  private stands(seek: boolean): void {
    if (!this.started || this.stalled) return
    this.stalled = true
    this.say('rebuffer_start', { cause: seek ? 'seek' : 'stall' })
  }

  private finish(completed: boolean): void {
    if (!this.over) this.say('end', { completed })
    this.over = true
  }

  private say(type: string, more: Record<string, unknown> = {}): void {
    if (this.hushed || this.seq > MOST_SEQ) return
    this.untold.push({ seq: this.seq, t_ms: Math.round(performance.now() - this.began_ms), type, ...more })
    this.seq += 1
  }

  private beat(): void {
    if (this.started && !this.over && !this.video.paused) this.say('progress')
    this.flush(false)
  }

  private flush(last: boolean): void {
    const events = this.untold.slice(0, MOST_AT_ONCE)
    if (events.length === 0) return
    this.send(this.session, events, last).then(
      (status) => {
        // Nobody takes events here.
        if (status === 404) this.hush()
        // What is told twice counts once.
        if (status < 429) this.untold = this.untold.filter((one) => !events.includes(one))
      },
      () => {
        // They are told again with the next ones.
      },
    )
  }
}

const EVERY_MS = 10_000
const MOST_AT_ONCE = 100
const MOST_SEQ = 4999
