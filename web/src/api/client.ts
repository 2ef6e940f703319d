// Calls the control plane, which serves this page and its API at one origin.
import type { Offer } from '../player/licences'
import { type Beat, type Film, type Films, type Playback, parseBeat, parseFilm, parseFilms, parseOffer, parsePlayback, parseStatus, type Status } from './answers'
import { Problem } from './problem'

/** Lists films, one page a call. */
export async function films(next: string | null): Promise<Films> {
  return parseFilms(await call('GET', next === null ? '/v1/videos' : `/v1/videos?next=${encodeURIComponent(next)}`))
}

/** Tells about one film. */
export async function film(id: string): Promise<Film> {
  return parseFilm(await call('GET', `/v1/videos/${encodeURIComponent(id)}`))
}

/** Tells how far a film is, to whoever these fields show. */
export async function status(id: string, shown?: Record<string, string>): Promise<Status> {
  return parseStatus(await call('GET', `/v1/videos/${encodeURIComponent(id)}/status`, undefined, shown))
}

/** Starts a playback session for a browser with these DRM systems; a film that is not ready is a `Problem` with status 409. */
export async function startPlayback(id: string, drm: string[]): Promise<Playback> {
  return parsePlayback(await call('POST', '/v1/playback/start', { video_id: id, device: { drm } }))
}

/** Tells the control plane that a session is alive, and hears what is to become of it. */
export async function heartbeat(url: string, beat: { position_s: number; state: string; seq: number }): Promise<Beat> {
  return parseBeat(await call('POST', url, beat))
}

/** Gets a session its next licence token, for the keys from a place on. */
export async function renewLicence({ url, token }: Offer['renewal'], position_s: number): Promise<Offer> {
  return parseOffer(await call('POST', url, { position_s }, { authorization: `Bearer ${token}` }))
}

/** Tells how a session goes; `last` outlives the page. Gives the status of the answer. */
export async function tell(session_id: string, events: object[], last: boolean): Promise<number> {
  const body = JSON.stringify({ session_id, events })
  const headers = { 'content-type': 'application/json' }
  const { status } = await fetch('/v1/playback/events', { method: 'POST', keepalive: last, headers, body })
  return status
}

/** Ends a session. Made to outlive the page: nothing waits for the answer. */
export function endPlayback(session: string): void {
  const url = `/v1/playback/${encodeURIComponent(session)}`
  fetch(url, { method: 'DELETE', keepalive: true }).catch(() => {
    // The session's lease runs out by itself.
  })
}

/** Sends one call and returns the JSON answer; every failure to get one is a `Problem`. */
export async function call(method: string, url: string, body?: unknown, more?: Record<string, string>): Promise<unknown> {
  const request: RequestInit = { method, headers: { accept: 'application/json, application/problem+json', ...more } }
  if (body !== undefined) {
    request.headers = { ...request.headers, 'content-type': 'application/json' }
    request.body = JSON.stringify(body)
  }
  let response: Response
  try {
    response = await fetch(url, { ...request, signal: AbortSignal.timeout(PATIENCE_MS) })
  } catch {
    throw new Problem(0)
  }
  const answer: unknown = await response.json().catch(() => null)
  if (!response.ok) throw Problem.parse(response.status, answer, response.headers.get('retry-after'))
  return answer
}

const PATIENCE_MS = 15_000
