// The API's answers, parsed once: what follows may rely on every field.
import { type Format, FORMATS } from '../player/engine'
import type { Offer } from '../player/licences'

/** A film as it stands in a list. */
export interface Film {
  id: string
  title: string
  duration_s: number | null
  poster: string | null
}

/** A page of the list of films. */
export interface Films {
  films: Film[]
  /** Where the next page begins; `null` on the last one. */
  next: string | null
}

/** The manifest's URL in each format. */
export type Manifests = Partial<Record<Format, string>>

/** A started playback. */
export interface Playback {
  session: string
  /** The manifest's URL in each format that is offered; at least one. */
  manifests: Manifests
  /** Manifests that name all places at once, and lead players from one to another. */
  steered: Manifests
  /** Other places that carry the film, in the order to try them. */
  alternatives: { name: string; manifests: Manifests }[]
  poster: string | null
  heartbeat: { url: string; every_s: number } | null
  /** Where licences come from; `null` where none are needed. */
  licences: Offer | null
}

/** What a heartbeat is answered. */
export interface Beat {
  /** Why the session must stop; `null` when it goes on. */
  stop: string | null
  /** The manifests under another token, where the one that plays is about to end. */
  manifests: Manifests | null
}

/** How far a film is on its way to being ready. */
export interface Status {
  state: string
  /** 0 to 100; `null` when it is not known. */
  progress: number | null
  /** Whether it can be watched, perhaps before all of it is made. */
  playable: boolean
  /** Whether it will never be ready. */
  failed: boolean
  /** Why it failed, or has less than it was to have, for a person. */
  reason: string | null
}

/** Whose a credential is. */
export type Caller =
  /** Whoever manages the site. */
  | { kind: 'operator' }
  /** Somebody with an account, with their role. */
  | { kind: 'user'; role: string }
  /** A backend by its API key, with what the key is for. */
  | { kind: 'backend'; scopes: string[] }

/** A login. */
export interface Login {
  access: string
  /** For how many seconds `access` is good. */
  access_s: number
  /** Good once, for the next ones. */
  refresh: string
}

/** Films that belong together. */
export interface Channel {
  id: string
  name: string
}

/** An answer that does not have the promised form. */
export class Unexpected extends Error {
  override readonly name = 'Unexpected'
}

/** Parses `GET /v1/videos`. */
export function parseFilms(body: unknown): Films {
  const answer = object(body, 'the list of films')
  if (!Array.isArray(answer.videos)) throw new Unexpected('the list of films has no `videos`')
  return { films: answer.videos.map(parseFilm), next: text(answer.next) }
}

/** Parses `GET /v1/videos/{id}`. */
export function parseFilm(body: unknown): Film {
  const answer = object(body, 'a film')
  const id = text(answer.video_id)
  if (id === null) throw new Unexpected('a film has no `video_id`')
  return { id, title: text(answer.title) ?? id, duration_s: number(answer.duration_s), poster: text(answer.poster) }
}

/** Parses `POST /v1/playback/start`. */
export function parsePlayback(body: unknown): Playback {
  const answer = object(body, 'the playback session')
  const session = text(answer.session_id)
  if (session === null) throw new Unexpected('the playback session has no `session_id`')
  const manifests = manifestsOf(answer.manifests)
  if (Object.keys(manifests).length === 0) throw new Unexpected('no manifest is offered')
  return {
    session,
    manifests,
    steered: answer.steered === undefined || answer.steered === null ? {} : manifestsOf(answer.steered),
    alternatives: alternativesOf(answer.alternatives),
    poster: posterOf(answer.thumbnails),
    heartbeat: heartbeatOf(answer.heartbeat),
    licences: answer.drm === null || answer.drm === undefined ? null : parseOffer(answer.drm),
  }
}

/** Parses `drm` of a session, and `POST /v1/drm/token`. */
export function parseOffer(body: unknown): Offer {
  const offer = object(body, 'the offer of licences')
  const renewal = object(offer.renewal, 'the renewal')
  const needed = (value: unknown) => {
    const given = text(value)
    if (given === null) throw new Unexpected('the offer of licences is not whole')
    return given
  }
  return {
    system: needed(offer.type),
    url: needed(offer.license_url),
    token: needed(offer.token),
    renewal: { url: needed(renewal.url), token: needed(renewal.token) },
  }
}

/** Parses the answer to a heartbeat. */
export function parseBeat(body: unknown): Beat {
  const answer = object(body, 'the answer to a heartbeat')
  return {
    stop: answer.action === 'stop' ? (text(answer.reason) ?? 'stopped') : null,
    manifests: answer.manifests === undefined || answer.manifests === null ? null : manifestsOf(answer.manifests),
  }
}

/** Parses `GET /v1/videos/{id}/status`. */
export function parseStatus(body: unknown): Status {
  const answer = object(body, 'the status')
  const state = text(answer.state) ?? 'processing'
  const progress = number(answer.progress)
  return {
    state,
    progress: progress === null ? null : Math.min(100, Math.max(0, progress)),
    playable: answer.playable === true,
    failed: state === 'failed',
    reason: text(answer.reason) ?? text(answer.detail),
  }
}

/** Parses `GET /v1/callers/me`. */
export function parseCaller(body: unknown): Caller {
  const { kind, role, scopes } = object(body, 'the caller')
  if (kind === 'user') return { kind, role: text(role) ?? 'viewer' }
  if (kind === 'backend') return { kind, scopes: Array.isArray(scopes) ? scopes.filter((scope) => typeof scope === 'string') : [] }
  if (kind === 'operator') return { kind }
  throw new Unexpected('a caller of an unknown kind')
}

/** Parses `POST /v1/auth/login` and `…/refresh`. */
export function parseLogin(body: unknown): Login {
  const answer = object(body, 'the login')
  const [access, refresh, access_s] = [text(answer.access_token), text(answer.refresh_token), number(answer.expires_in_s)]
  if (access === null || refresh === null || access_s === null) throw new Unexpected('the login is not whole')
  return { access, access_s, refresh }
}

/** Parses `GET /v1/channels`. */
export function parseChannels(body: unknown): { channels: Channel[]; next: string | null } {
  const answer = object(body, 'the list of channels')
  if (!Array.isArray(answer.channels)) throw new Unexpected('the list of channels has no `channels`')
  return { channels: answer.channels.map(parseChannel), next: text(answer.next) }
}

/** Parses a channel. */
export function parseChannel(body: unknown): Channel {
  const { channel_id, name } = object(body, 'a channel')
  const id = text(channel_id)
  if (id === null) throw new Unexpected('a channel has no `channel_id`')
  return { id, name: text(name) ?? id }
}

function manifestsOf(value: unknown): Manifests {
  const offered = object(value, 'the list of manifests')
  const manifests: Manifests = {}
  for (const format of FORMATS) {
    const url = text(offered[format.key])
    if (url !== null) manifests[format.id] = url
  }
  return manifests
}

function alternativesOf(value: unknown): Playback['alternatives'] {
  if (!Array.isArray(value)) return []
  return value.map((entry, index) => {
    const { name, manifests } = object(entry, 'an alternative')
    return { name: text(name) ?? `place ${index + 2}`, manifests: manifestsOf(manifests) }
  })
}

function posterOf(thumbnails: unknown): string | null {
  return typeof thumbnails === 'object' && thumbnails !== null
    ? text((thumbnails as Record<string, unknown>).poster)
    : null
}

function heartbeatOf(heartbeat: unknown): Playback['heartbeat'] {
  if (typeof heartbeat !== 'object' || heartbeat === null) return null
  const { url, every_s } = heartbeat as Record<string, unknown>
  const every = number(every_s)
  return typeof url === 'string' && every !== null && every > 0 ? { url, every_s: Math.max(1, every) } : null
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new Unexpected(`${what} is not an object`)
  return value as Record<string, unknown>
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}
