// One visit to the watch page: opens a session, plays the film, and keeps what the page shows.
import { type Playback, Unexpected } from '../api/answers'
import * as api from '../api/client'
import { Problem, passes, sentence } from '../api/problem'
import { type Choice, type Engine, type Failure, failureSentence, type Format, FORMATS, type Quality } from '../player/engine'
import { Licences, systemsHere } from '../player/licences'
import { open } from '../player/open'
import { Pass } from '../player/pass'
import { type Segment, SegmentLog, type Timing } from '../segments/log'
import { notice, onHostOf, type Source, sources } from './sources'
import { Telling } from './telling'

/** What the stage shows. */
export type Phase =
  | { kind: 'waiting'; sentence: string; progress: number | null }
  | { kind: 'ready' }
  | { kind: 'failed'; sentence: string; detail: string | null }

/** The visit. `start` once the video element stands; `close` when the page goes. */
export class Watching {
  phase: Phase = $state.raw({ kind: 'waiting', sentence: 'Opening the film…', progress: null })
  title: string | null = $state(null)
  poster: string | null = $state(null)
  format: Format = $state('hls')
  /** The formats in which the film is offered. */
  offered: Format[] = $state.raw([])
  choice: Choice = $state('auto')
  qualities: Quality[] = $state.raw([])
  /** The rendition that plays. */
  playing: string | null = $state(null)
  /** Whether the film has sound; `null` until the manifest is read. */
  sound: boolean | null = $state(null)
  /** The latest segments, the newest first. */
  segments: Segment[] = $state.raw([])
  player: Engine['name'] | null = $state(null)
  /** What the viewer should know about where the film comes from. */
  notice: string | null = $state(null)
  /** Whether further qualities are still being made. */
  growing = $state(false)
  /** The place that plays. */
  source: Source | null = $state.raw(null)

  private readonly log = new SegmentLog()
  private readonly closed = new AbortController()
  private readonly timings = new PerformanceObserver((list) => this.timed(list.getEntries() as unknown as Timing[]))
  private video: HTMLVideoElement | null = null
  private playback: Playback | null = null
  private telling: Telling | null = null
  private licences: Licences | null = null
  private pass = new Pass()
  private engine: Engine | null = null
  /** Which of the places is tried or plays. */
  private at = 0
  /** Whether the player that is at work has read its manifest. */
  private isOpen = false
  /** The host that the last segment came from; `null` before the first one of the player that is at work. */
  private host: string | null = null
  /** Where the player that is at work was told to begin. */
  private begun: Place = { position_s: 0, play: true }
  /** Switches run one after the other: a player leaves the video element before the next one takes it. */
  private switching: Promise<void> = Promise.resolve()
  private beating: ReturnType<typeof setInterval> | undefined
  /** Makes the page deaf to the player that is at work. */
  private hush: () => void = () => {}
  private renewed_ms = Number.NEGATIVE_INFINITY

  constructor(
    private readonly id: string,
    format: Format,
  ) {
    this.format = format
  }

  /** Opens a session, waiting for a film that is not ready, and begins to play. */
  async start(video: HTMLVideoElement): Promise<void> {
    this.video = video
    this.timings.observe({ type: 'resource', buffered: true })
    api.film(this.id).then(
      (film) => (this.title = film.title),
      () => {
        // The title is missing from the page then; why the film cannot be played is told by the session.
      },
    )
    await this.session({ position_s: 0, play: true })
  }

  /** Begins again where the film stopped, with a new session. */
  async retry(): Promise<void> {
    this.phase = { kind: 'waiting', sentence: 'Opening the film…', progress: null }
    await this.session({ ...this.place(), play: true })
  }

  /** Changes the format; the film goes on where it is. */
  async setFormat(format: Format): Promise<void> {
    if (format === this.format) return
    this.format = format
    if (this.playback !== null) await this.play(this.place())
  }

  /** Changes the quality. */
  setChoice(choice: Choice): void {
    this.choice = choice
    this.engine?.choose(choice)
  }

  /** Ends the visit. */
  close(): void {
    this.closed.abort()
    this.timings.disconnect()
    this.endSession()
    this.leave()
  }

  /** Gets a session, however long that takes, and plays from the given place. */
  private async session(place: Place): Promise<void> {
    this.endSession()
    for (let attempt = 0; !this.closed.signal.aborted; attempt += 1) {
      try {
        this.playback = await api.startPlayback(this.id, await systemsHere())
        break
      } catch (error) {
        if (!(await this.bear(error))) return
        await this.pause(Math.min(SLOWEST_RETRY_MS, 1000 * 1.5 ** attempt))
      }
    }
    if (this.playback === null || this.closed.signal.aborted) return
    api.status(this.id).then(
      ({ state }) => (this.growing = state === 'processing'),
      () => {
        // A remark is missing then, no more.
      },
    )
    const { manifests, poster, heartbeat, licences } = this.playback
    this.licences = licences === null ? null : new Licences(licences, api.renewLicence)
    this.pass = new Pass()
    this.poster = poster
    this.at = 0
    this.offered = FORMATS.map(({ id }) => id).filter((id) => manifests[id] !== undefined)
    const [first] = this.offered
    if (!this.offered.includes(this.format) && first !== undefined) this.format = first
    if (heartbeat !== null) this.beat(heartbeat)
    if (this.video !== null) this.telling = new Telling(this.playback.session, this.video, api.tell)
    await this.play(place)
  }

  /** Shows why no session was had; says whether it is worth another try. */
  private async bear(error: unknown): Promise<boolean> {
    if (error instanceof Unexpected) {
      this.phase = { kind: 'failed', sentence: sentence(new Problem(500)), detail: error.message }
      return false
    }
    if (!(error instanceof Problem)) throw error
    if (error.status === 409) return this.prepare(error)
    if (passes(error)) {
      this.phase = { kind: 'waiting', sentence: sentence(error), progress: null }
      return true
    }
    this.phase = { kind: 'failed', sentence: sentence(error), detail: error.detail }
    return false
  }

  /** Shows how far a film is that is not ready; says whether it will ever be. */
  private async prepare(problem: Problem): Promise<boolean> {
    const status = await api.status(this.id).catch(() => null)
    if (status?.failed) {
      this.phase = { kind: 'failed', sentence: 'This film could not be prepared.', detail: status.reason }
      return false
    }
    this.phase = {
      kind: 'waiting',
      sentence: status === null ? (problem.detail ?? sentence(problem)) : 'This film is being prepared.',
      progress: status?.progress ?? null,
    }
    return true
  }

  private play(place: Place): Promise<void> {
    this.switching = this.switching
      .then(() => this.swap(place))
      .catch((error: unknown) => {
        // The player's code itself could not be fetched, or broke.
        const detail = error instanceof Error ? error.message : String(error)
        this.phase = { kind: 'failed', sentence: 'The player could not be started.', detail }
      })
    return this.switching
  }

  private async swap(place: Place): Promise<void> {
    const { video, playback } = this
    await this.leave()
    if (video === null || playback === null || this.closed.signal.aborted) return
    const places = sources(playback, this.format)
    // A format that fewer places offer is asked of the last of them.
    this.at = Math.min(this.at, places.length - 1)
    const source = places[this.at]
    if (source === undefined) return
    this.source = source
    this.begun = place
    if (playback.poster !== null && this.at > 0 && !source.steered) this.poster = onHostOf(playback.poster, source.url)
    const rate = video.playbackRate
    const { choice, licences, pass } = this
    const start = { url: pass.now(source.url), position_s: place.position_s, choice, licences, pass }
    const alive = { current: true }
    this.hush = () => (alive.current = false)
    this.engine = await open(this.format, video, start, {
      opened: (qualities, sound) => alive.current && this.opened(qualities, sound, notice(places, this.at)),
      playing: (quality) => alive.current && this.shows(quality),
      loaded: (load) => {
        if (alive.current) this.host = new URL(load.url, location.href).host
        this.log.loaded(load)
        this.segments = this.log.segments.slice()
      },
      failed: (failure) => alive.current && this.failed(failure, places.length),
    })
    this.player = this.engine.name
    video.playbackRate = rate
    // A browser may insist on a click first; the video's own button is there for that.
    if (place.play) video.play().catch(() => {})
  }

  private shows(quality: string): void {
    this.playing = quality
    const chosen = this.qualities.find(({ id }) => id === quality)
    this.telling?.quality(this.host ?? undefined, chosen?.bitrate_bps)
  }

  private opened(qualities: Quality[], sound: boolean, notice: string | null): void {
    this.isOpen = true
    this.notice = notice
    this.qualities = qualities
    this.sound = sound
    if (!qualities.some(({ id }) => id === this.choice)) this.choice = 'auto'
    this.phase = { kind: 'ready' }
  }

  /**
   * A place that nobody answers at is left for the next one. Once the film has played, a lost node or a token that
   * ran out is often cured by a new session: that is tried once in a while.
   */
  private failed(failure: Failure, places: number): void {
    if (this.closed.signal.aborted) return
    this.hush()
    const place = this.place()
    // A manifest of all places may open where none of them can be reached.
    if (failure.kind === 'network' && !failure.status && this.host === null && this.at + 1 < places) {
      this.at += 1
      void this.play(place)
      return
    }
    const curable = this.isOpen || failure.status === 401 || failure.status === 403
    if ((failure.kind === 'network' || failure.kind === 'licence') && curable && performance.now() - this.renewed_ms > RENEW_AGAIN_MS) {
      this.renewed_ms = performance.now()
      void this.session(place)
      return
    }
    this.phase = { kind: 'failed', sentence: failureSentence(failure), detail: failure.detail }
    this.telling?.failed(failure.status ? `${failure.kind}:${failure.status}` : failure.kind)
  }

  private async leave(): Promise<void> {
    const { engine } = this
    this.hush()
    this.isOpen = false
    this.host = null
    this.engine = null
    this.player = null
    this.playing = null
    await engine?.destroy()
  }

  /** Where the film is; a player that shows nothing yet is where it was told to begin. */
  private place(): Place {
    const { video } = this
    if (video === null || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return this.begun
    if (video.ended) return { position_s: 0, play: true }
    return { position_s: video.currentTime, play: !video.paused }
  }

  private beat({ url, every_s }: { url: string; every_s: number }): void {
    let seq = 0
    this.beating = setInterval(() => {
      const { video, playback } = this
      if (video === null) return
      const state = video.ended ? 'ended' : video.paused ? 'paused' : 'playing'
      seq += 1
      api.heartbeat(url, { position_s: video.currentTime, state, seq }).then(
        ({ stop, manifests }) => {
          // The answer may come when another session has begun.
          if (playback !== this.playback) return
          if (stop !== null) this.stop(stop)
          else if (manifests !== null) this.pass.renew(manifests)
        },
        (error: unknown) => {
          // Whatever else went wrong, the next beat tries again.
          const over = error instanceof Problem && error.status === 410
          if (over && playback === this.playback) this.stop('session-over')
        },
      )
    }, every_s * 1000)
  }

  /** The control plane ended the session: the film stops where it is, and the viewer is told why. */
  private stop(reason: string): void {
    this.begun = { ...this.place(), play: false }
    this.endSession()
    this.video?.pause()
    void this.leave()
    this.phase = { kind: 'failed', sentence: stopSentence(reason), detail: null }
  }

  private endSession(): void {
    clearInterval(this.beating)
    this.telling?.end()
    this.telling = null
    if (this.playback !== null) api.endPlayback(this.playback.session)
    this.playback = null
  }

  private timed(entries: Timing[]): void {
    for (const entry of entries) this.log.timed(entry)
    this.segments = this.log.segments.slice()
  }

  private pause(duration_ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, duration_ms)
      this.closed.signal.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

/** Why a session was ended, in a sentence that a viewer understands. */
function stopSentence(reason: string): string {
  switch (reason) {
    case 'not_entitled':
      return 'You may not watch this film any longer.'
    case 'lease_lost':
      return 'This page was away for too long, and your stream was ended.'
    default:
      return 'Your stream was ended.'
  }
}

/** Where in the film, and whether it shall run. */
interface Place {
  position_s: number
  play: boolean
}

/** A failure sooner than this after a renewal is final. */
const RENEW_AGAIN_MS = 30_000

/** How long a film that is not ready, or a server in trouble, is left alone at most. */
const SLOWEST_RETRY_MS = 4000
