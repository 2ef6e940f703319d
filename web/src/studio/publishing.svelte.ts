// One film on its way: from the file's first byte, through pauses and reloads, until it is ready.
import type { Status } from '../api/answers'
import { passes, Problem } from '../api/problem'
import { anotherFile, refusal, UNREADABLE, waiting } from '../text/uploads'
import { follow } from './following'
import { isOf, type Records, type Upload } from './records'
import { arrived, cancel, type End, type Publisher, printOf, retry, send } from './tus'
import type { Wire } from './wire'

/** Where a film is on its way. */
export type Phase =
  /** The server is asked what has arrived. */
  | 'asking'
  | 'sending'
  | 'paused'
  /** After a reload, the browser gives no page a file that was not chosen anew. */
  | 'file-needed'
  | 'signed-out'
  /** The upload has expired or was cancelled. */
  | 'gone'
  /** The server will not have it. */
  | 'refused'
  /** All has arrived; it is put together, and made. */
  | 'making'
  | 'ready'
  | 'failed'

/** What a film on its way needs. */
export interface Ports {
  wire: Wire
  publisher: Publisher
  records: Records
  status: (video: string) => Promise<Status>
}

/** A film on its way. `open` it, or `choose` its file; `close` when the page goes. */
export class Publishing {
  phase: Phase = $state('asking')
  /** What the publisher should know beside the phase. */
  note: string | null = $state(null)
  sent_bytes = $state(0)
  /** How fast it goes; `null` before that is known. */
  bytes_per_s: number | null = $state(null)
  /** 0 to 100, of what is made. */
  progress = $state(0)
  playable = $state(false)

  private file: File | null = null
  private at_work = new AbortController()
  private samples: { at_ms: number; bytes: number }[] = []

  constructor(
    public upload: Upload,
    private readonly ports: Ports,
  ) {}

  /** Takes up what this browser remembers. */
  async open(): Promise<void> {
    if (this.upload.sent) return this.follow()
    const { signal } = this.anew()
    this.phase = 'asking'
    this.note = null
    try {
      const bytes = await arrived(this.ports.wire, this.upload.url, this.ports.publisher, signal)
      if (signal.aborted) return
      this.sent_bytes = bytes
      if (bytes >= this.upload.size) return await this.arrived()
      this.phase = this.file === null ? 'file-needed' : 'paused'
    } catch (error) {
      if (signal.aborted) return
      const problem = error instanceof Problem ? error : new Problem(0)
      this.phase = this.file === null ? 'file-needed' : 'paused'
      if (problem.status === 401) this.phase = 'signed-out'
      else if ([404, 410].includes(problem.status)) this.phase = 'gone'
      else this.note = refusal(problem)
    }
  }

  /** Goes on with a file, if it is the one that the upload is of. */
  async choose(file: File): Promise<void> {
    const wrong = !isOf(this.upload, file) || (await this.isAnother(file))
    if (wrong) {
      this.note = anotherFile(this.upload, file)
      return
    }
    this.file = file
    await this.go()
  }

  /** Goes on after a pause. */
  async go(): Promise<void> {
    const { file } = this
    if (file === null) return this.open()
    const { signal } = this.anew()
    this.phase = 'sending'
    this.note = null
    const { wire, publisher } = this.ports
    const end = await send(wire, this.upload.url, file, publisher, {
      at: (bytes) => !signal.aborted && this.at(bytes),
      waits: (problem, wait_ms) => !signal.aborted && (this.note = waiting(problem, wait_ms)),
    }, signal)
    if (!signal.aborted) await this.ended(end)
  }

  /** Stops sending; what has arrived stays. */
  pause(): void {
    this.anew()
    this.phase = 'paused'
    this.note = null
  }

  /** Gives the upload up; `true` when it is gone. */
  async cancel(): Promise<boolean> {
    this.anew()
    try {
      await cancel(this.ports.wire, this.upload.url, this.ports.publisher)
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(0)
      // All of it had arrived a moment before.
      if (problem.status === 409) {
        await this.open()
        return false
      }
      this.phase = this.file === null ? 'file-needed' : 'paused'
      if (problem.status === 401) this.phase = 'signed-out'
      this.note = refusal(problem)
      return false
    }
    this.forget()
    return true
  }

  /** Has the film made once more, from the file that was uploaded. */
  async retry(): Promise<void> {
    const { signal } = this.anew()
    this.phase = 'making'
    this.note = null
    let refused: Problem | null = null
    try {
      await retry(this.ports.wire, this.upload, this.ports.publisher)
      this.progress = 0
    } catch (error) {
      refused = error instanceof Problem ? error : new Problem(0)
    }
    if (signal.aborted) return
    if (refused?.status === 401) {
      this.phase = 'signed-out'
      return
    }
    // Refused or not: it may be that somebody else has it made once more, or that this one's answer was lost.
    await this.follow()
    if (refused !== null && (this.phase as Phase) === 'failed') this.note = refusal(refused)
  }

  /** This browser remembers it no more. */
  forget(): void {
    this.close()
    this.ports.records.forget(this.upload)
  }

  /** Stops whatever goes on. */
  close(): void {
    this.at_work.abort()
  }

  private anew(): AbortController {
    this.at_work.abort()
    this.at_work = new AbortController()
    this.samples = []
    this.bytes_per_s = null
    return this.at_work
  }

  private async isAnother(file: File): Promise<boolean> {
    if (this.upload.print === null) return false
    try {
      const print = await printOf(file)
      return print !== null && print !== this.upload.print
    } catch {
      return true
    }
  }

  private at(bytes: number): void {
    // What was on its way may not have arrived.
    const went_back = bytes < this.sent_bytes
    this.sent_bytes = bytes
    const now_ms = performance.now()
    if (went_back) this.samples = []
    else this.note = null
    this.samples = [...this.samples.filter(({ at_ms }) => now_ms - at_ms < WINDOW_MS), { at_ms: now_ms, bytes }]
    const [first] = this.samples
    const span_s = first === undefined ? 0 : (now_ms - first.at_ms) / 1000
    this.bytes_per_s = first !== undefined && span_s >= 1 ? (bytes - first.bytes) / span_s : null
  }

  private async ended(end: End): Promise<void> {
    switch (end.kind) {
      case 'sent':
        return this.arrived()
      case 'unreadable':
        this.file = null
        this.phase = 'file-needed'
        this.note = UNREADABLE
        break
      case 'refused':
        this.phase = 'refused'
        this.note = refusal(end.problem)
        break
      case 'gone':
      case 'signed-out':
        this.phase = end.kind
        break
      case 'stopped':
        break
    }
  }

  private async arrived(): Promise<void> {
    this.sent_bytes = this.upload.size
    this.upload = { ...this.upload, sent: true }
    this.ports.records.put(this.upload)
    await this.follow()
  }

  private async follow(): Promise<void> {
    const { signal } = this.anew()
    this.phase = 'making'
    this.note = null
    this.sent_bytes = this.upload.size
    try {
      await follow(() => this.ports.status(this.upload.video), (status) => this.is(status), signal)
    } catch (error) {
      const problem = error instanceof Problem && !passes(error) ? error : new Problem(500)
      if (problem.status === 401) this.phase = 'signed-out'
      else if (problem.status === 404) this.phase = 'gone'
      else this.note = refusal(problem)
    }
  }

  private is({ state, progress, playable, reason }: Status): void {
    this.progress = progress ?? this.progress
    this.playable = playable
    this.note = reason
    this.phase = state === 'ready' || state === 'failed' ? state : 'making'
  }
}

/** How far back is looked to tell how fast it goes. */
const WINDOW_MS = 10_000
