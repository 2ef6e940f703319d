// What publishers are told of uploads, in sentences.
import type { Problem } from '../api/problem'
import { size } from './units'

/** A file that cannot be read any more. */
export const UNREADABLE = 'The file can no longer be read. Was it moved or changed? Choose it again to go on.'

/** A refusal, in the server's own words where it has any. */
export function refusal({ status, detail }: Problem): string {
  if (detail !== null) return detail
  switch (status) {
    case 0:
      return 'The server does not answer. Is it running, and are you online?'
    case 401:
      return 'Sign in to go on.'
    case 403:
      return 'You may not publish here.'
    case 413:
      return 'The file is larger than is taken here.'
    case 429:
      return 'Too many requests came from here. Try again in a moment.'
    default:
      return status >= 500 ? 'The server has trouble at the moment.' : `The server refuses this (${status}).`
  }
}

/** Why nothing goes at the moment. */
export function waiting({ status, detail }: Problem, wait_ms: number): string {
  const again = `Trying again ${wait_ms < 1500 ? 'at once' : `in ${Math.round(wait_ms / 1000)} s`}; what has arrived is kept.`
  if (status === 0 || status === 408) return `The connection broke off. ${again}`
  if (status === 409) return `Another page seems to be sending the same film. ${again}`
  if (status === 429) return `The server asks for patience. ${again}`
  return `${detail ?? 'The server has trouble at the moment.'} ${again}`
}

/** A file that an upload is not of. */
export function anotherFile(wanted: { name: string; size: number }, chosen: { name: string; size: number }): string {
  const of = (file: { name: string; size: number }) => `“${file.name}” (${size(file.size)})`
  const seems = wanted.name === chosen.name && wanted.size === chosen.size
  const why = seems ? 'It has the same name and length, but it was changed since.' : `It is ${of(chosen)}.`
  return `That is another file. ${why} Choose ${of(wanted)} as it was, or cancel this upload.`
}

/** How long the rest takes: `about 3 min left`. */
export function left(bytes: number, bytes_per_s: number | null): string | null {
  if (bytes_per_s === null || bytes_per_s < 1) return null
  const seconds = bytes / bytes_per_s
  if (seconds < 10) return 'a few seconds left'
  if (seconds < 90) return `about ${Math.round(seconds / 10) * 10} s left`
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`
  return `about ${Math.round(seconds / 3600)} h left`
}

/** What a film is called after its file. */
export function titleOf(name: string): string {
  return name.replace(/\.[^.]{1,5}$/, '').replace(/[_\s]+/g, ' ').trim().slice(0, 200)
}
