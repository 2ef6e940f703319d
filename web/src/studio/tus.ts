// Sends a file over tus 1.0 (tus.io/protocols/resumable-upload), piece by piece, and goes on from wherever the server is.
//
// Pieces come in order, each with its SHA-256, so that one that was changed on its way, or cut off, does not count. What
// counts is what the server says: after anything unexpected it is asked (`HEAD`) before more is sent.
import { passes, Problem } from '../api/problem'
import { pause } from './pause'
import type { Ask, Reply, Wire } from './wire'

/** What is told of a film before its bytes come. */
export interface Announced {
  filename: string
  filetype?: string
  title?: string
  privacy?: string
  protected?: string
  channel_id?: string
}

/** An upload that the server knows. */
export interface Begun {
  /** Its address. */
  url: string
  /** The film that it becomes. */
  video: string
}

/** Who publishes. */
export interface Publisher {
  /** What to show of them in a request. */
  shows: () => Promise<Record<string, string>>
  /** Gets other credentials after a refusal; `false` when there are none. */
  renews: () => Promise<boolean>
}

/** Why sending has ended. */
export type End =
  /** All of it has arrived. */
  | { kind: 'sent' }
  /** It was told to stop. */
  | { kind: 'stopped' }
  /** The upload has expired, was cancelled, or is lost. */
  | { kind: 'gone' }
  /** The file cannot be read any more, or has changed. */
  | { kind: 'unreadable' }
  /** The credentials do not count any more. */
  | { kind: 'signed-out' }
  /** The server will not have it. */
  | { kind: 'refused'; problem: Problem }

/** What whoever watches is told. */
export interface Watcher {
  /** This many bytes of the file have arrived, or are on their way. */
  at: (bytes: number) => void
  /** Nothing goes at the moment; it is tried again after so long. */
  waits: (problem: Problem, wait_ms: number) => void
}

/** Announces a film. */
export async function begin(wire: Wire, endpoint: string, publisher: Publisher, size: number, film: Announced): Promise<Begun> {
  const pairs = Object.entries(film).filter((pair): pair is [string, string] => Boolean(pair[1]))
  const metadata = pairs.map(([key, value]) => `${key} ${base64(new TextEncoder().encode(value))}`).join(',')
  const headers = { 'upload-length': String(size), 'upload-metadata': metadata }
  const reply = await answered(wire, publisher, { method: 'POST', url: endpoint, headers, signal: AbortSignal.timeout(PATIENCE_MS) })
  const [url, video] = [reply.header('location'), reply.header('x-video-id')]
  if (reply.status !== 201 || url === null || video === null) throw problemOf(reply)
  return { url, video }
}

/** How many bytes of an upload have arrived. Throws a `Problem`; with 404 or 410 it is not there any more. */
export async function arrived(wire: Wire, url: string, publisher: Publisher, signal: AbortSignal): Promise<number> {
  const reply = await answered(wire, publisher, { method: 'HEAD', url, headers: {}, signal })
  if (reply.status !== 200) throw problemOf(reply)
  return offsetOf(reply)
}

/** Cancels an upload. One that is not there any more was cancelled already. */
export async function cancel(wire: Wire, url: string, publisher: Publisher): Promise<void> {
  const reply = await answered(wire, publisher, { method: 'DELETE', url, headers: {}, signal: AbortSignal.timeout(PATIENCE_MS) })
  if (![204, 404, 410].includes(reply.status)) throw problemOf(reply)
}

/** Has a film made once more, from what came by this upload. */
export async function retry(wire: Wire, { url, video }: Begun, publisher: Publisher): Promise<void> {
  const again = url.replace(/\/upload\/tus\/[^/]+$/, `/${encodeURIComponent(video)}/retry`)
  const reply = await answered(wire, publisher, { method: 'POST', url: again, headers: {}, signal: AbortSignal.timeout(PATIENCE_MS) })
  if (reply.status !== 202) throw problemOf(reply)
}

/** Sends a file from wherever the server is until all of it has arrived, it is told to stop, or it cannot go on. */
export async function send(wire: Wire, url: string, file: Blob, publisher: Publisher, watcher: Watcher, signal: AbortSignal): Promise<End> {
  let at: number | null = null
  let piece = FIRST_PIECE
  let misses = 0
  let spoilt = 0
  while (!signal.aborted) {
    try {
      at ??= await arrived(wire, url, publisher, signal)
      watcher.at(at)
      if (at >= file.size) return { kind: 'sent' }
      const began = performance.now()
      const next = await sendPiece(wire, url, file.slice(at, at + piece), at, publisher, watcher, signal)
      if (next <= at || next > file.size) throw new Problem(500, 'The server says something else than what it was sent.')
      at = next
      misses = spoilt = 0
      piece = nextPiece(piece, performance.now() - began)
    } catch (error) {
      if (signal.aborted) break
      if (error instanceof Unreadable) return { kind: 'unreadable' }
      const problem = error instanceof Problem ? error : new Problem(0)
      spoilt += problem.status === SPOILT ? 1 : 0
      const end = endOf(problem, spoilt)
      if (end !== null) return end
      at = null
      misses += 1
      const wait_ms = waitFor(problem, misses)
      watcher.waits(problem, wait_ms)
      await pause(wait_ms, signal)
    }
  }
  return { kind: 'stopped' }
}

/** A print of a file's beginning, by which another file of the same name and length is told; `null` where the browser has none. */
export async function printOf(file: Blob): Promise<string | null> {
  return digestOf(await read(file.slice(0, FIRST_PIECE)))
}

async function sendPiece(wire: Wire, url: string, piece: Blob, at: number, publisher: Publisher, watcher: Watcher, signal: AbortSignal): Promise<number> {
  const body = await read(piece)
  const digest = await digestOf(body)
  const headers: Record<string, string> = { 'content-type': 'application/offset+octet-stream', 'upload-offset': String(at) }
  if (digest !== null) headers['upload-checksum'] = `sha256 ${digest}`
  const reply = await answered(wire, publisher, { method: 'PATCH', url, headers, body, signal, onsent: (bytes) => watcher.at(at + bytes) })
  if (reply.status !== 204) throw problemOf(reply)
  return offsetOf(reply)
}

/** Asks with the publisher's credentials, and once more with others when they do not count any more. */
async function answered(wire: Wire, publisher: Publisher, ask: Ask): Promise<Reply> {
  const shown = async () => {
    const headers = { 'tus-resumable': '1.0.0', ...ask.headers, ...(await publisher.shows()) }
    return wire({ ...ask, headers }).catch(() => {
      throw new Problem(0)
    })
  }
  const reply = await shown()
  return reply.status === 401 && (await publisher.renews()) ? shown() : reply
}

/** Whether a problem ends the upload; `null` when it may be tried again. */
function endOf(problem: Problem, spoilt: number): End | null {
  switch (problem.status) {
    case 401:
      return { kind: 'signed-out' }
    case 404:
    case 410:
      return { kind: 'gone' }
    // A connection that broke; another one that goes on with it, or knows better where it is.
    case 408:
    case 409:
      return null
    case SPOILT:
      return spoilt < MOST_SPOILT ? null : { kind: 'refused', problem }
    default:
      return passes(problem) ? null : { kind: 'refused', problem }
  }
}

function waitFor(problem: Problem, misses: number): number {
  if (problem.retry_after_s !== null) return Math.min(problem.retry_after_s * 1000, SLOWEST_MS)
  // Whoever was told where it goes on does so at once; two that go on with one upload are kept apart.
  if (problem.status === 409 && misses === 1) return 0
  const longest = Math.min(SLOWEST_MS, 500 * 2 ** Math.min(misses, 10))
  return longest * (0.5 + Math.random() / 2)
}

/** A piece takes a few seconds: little is lost with one, and little time between two. */
function nextPiece(piece: number, took_ms: number): number {
  if (took_ms < 2000) return Math.min(piece * 2, LARGEST_PIECE)
  return took_ms > 8000 ? Math.max(piece / 2, SMALLEST_PIECE) : piece
}

async function read(piece: Blob): Promise<ArrayBuffer> {
  try {
    return await piece.arrayBuffer()
  } catch {
    throw new Unreadable()
  }
}

/** In base64. Browsers have no digests on pages that came over plain HTTP from another machine. */
async function digestOf(bytes: ArrayBuffer): Promise<string | null> {
  const { subtle } = globalThis.crypto
  return subtle === undefined ? null : base64(new Uint8Array(await subtle.digest('SHA-256', bytes)))
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
}

function offsetOf(reply: Reply): number {
  const text = reply.header('upload-offset') ?? ''
  if (!/^\d{1,15}$/.test(text)) throw new Problem(500, 'The server does not say what has arrived.')
  return Number(text)
}

function problemOf(reply: Reply): Problem {
  let body: unknown = null
  try {
    body = JSON.parse(reply.text)
  } catch {
    // Answers to HEAD have no body, and a proxy's may be anything.
  }
  return Problem.parse(reply.status, body, reply.header('retry-after'))
}

/** A file that cannot be read, or not any more. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable'
}

const FIRST_PIECE = 1024 * 1024
const SMALLEST_PIECE = 256 * 1024
const LARGEST_PIECE = 16 * 1024 * 1024
/** The status for a piece that is not what its checksum says. */
const SPOILT = 460
const MOST_SPOILT = 5
const SLOWEST_MS = 30_000
const PATIENCE_MS = 30_000
