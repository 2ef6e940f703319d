// An ingest for the tests: tus as docs/http-api.md has it, in memory, with whatever goes wrong on the way.
import { createHash } from 'node:crypto'
import type { Publisher } from './tus'
import type { Ask, Reply, Wire } from './wire'

/** What becomes of the next request: an answer in place of the house's own, a broken connection, or a body that never ends. */
export type Mishap = Partial<Reply> | 'broken' | 'held'

export class House {
  stored: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  there = true
  /** `METHOD offset`, in order. */
  readonly asked: string[] = []
  readonly mishaps: ((ask: Ask) => Mishap | null)[] = []
  /** Resolves when a body is held. */
  held: Promise<void>
  private hold!: () => void

  constructor(private readonly size: number) {
    this.held = new Promise((done) => (this.hold = done))
  }

  readonly wire: Wire = async (ask) => {
    const { method, headers } = ask
    this.asked.push(method === 'PATCH' ? `PATCH ${headers['upload-offset']}` : method)
    if (ask.signal.aborted) throw new TypeError('stopped')
    const mishap = this.mishaps.shift()?.(ask) ?? null
    if (mishap === 'broken') throw new TypeError('broken')
    if (mishap === 'held') {
      ask.onsent?.((ask.body?.byteLength ?? 0) / 2)
      return new Promise((_, stopped) => {
        ask.signal.addEventListener('abort', () => stopped(new TypeError('stopped')))
        this.hold()
      })
    }
    if (mishap !== null) return reply(mishap.status ?? 500, {}, mishap)
    if (method === 'POST') return reply(201, { location: 'http://ingest/tus/u1', 'x-video-id': 'v1' })
    if (!this.there) return reply(404)
    const offset = { 'upload-offset': String(this.stored.length) }
    if (method === 'HEAD') return reply(200, offset)
    if (method === 'DELETE') {
      this.there = false
      return reply(204)
    }
    return this.patched(ask)
  }

  /** Whether exactly this has arrived. */
  has(film: Uint8Array): boolean {
    return Buffer.compare(this.stored, film) === 0
  }

  private patched({ headers, body }: Ask): Reply {
    const bytes = new Uint8Array(body ?? new ArrayBuffer(0))
    if (headers['upload-offset'] !== String(this.stored.length)) return reply(409)
    const digest = createHash('sha256').update(bytes).digest('base64')
    if (headers['upload-checksum'] !== `sha256 ${digest}`) return reply(460)
    if (this.stored.length + bytes.length > this.size) return reply(413)
    const both = new Uint8Array(this.stored.length + bytes.length)
    both.set(this.stored)
    both.set(bytes, this.stored.length)
    this.stored = both
    return reply(204, { 'upload-offset': String(this.stored.length) })
  }
}

/** Somebody with credentials that count. */
export const somebody: Publisher = { shows: async () => ({ authorization: 'Bearer a' }), renews: async () => false }

function reply(status: number, fields: { [name: string]: string } = {}, more: Partial<Reply> = {}): Reply {
  return { status, header: (name) => fields[name] ?? null, text: '', ...more }
}
