// Reads the public address of a segment or a rendition's playlist out of its URL.

/** A segment, as its URL names it. */
export interface SegmentAddress {
  video: string
  rendition: string
  number: number
}

/** Parses `…/v/{video}/{rendition}/segment_{n}.m4s|.ts`, in whatever view (`…/v/{video}/@{view}/…`); `null` for every other URL. */
export function segmentAddress(url: string): SegmentAddress | null {
  const [, video, rendition, number] = SEGMENT.exec(path(url)) ?? []
  if (video === undefined || rendition === undefined || number === undefined) return null
  return { video, rendition, number: Number(number) }
}

/** The rendition that a playlist's URL belongs to: `720p` for `…/v/{video}/720p/playlist.m3u8`. */
export function playlistRendition(url: string): string | null {
  return PLAYLIST.exec(path(url))?.[1] ?? null
}

function path(url: string): string {
  return url.replace(/[?#].*$/s, '')
}

const SEGMENT = /\/v\/([A-Za-z0-9_-]{1,64})\/(?:@[a-z0-9,]{1,64}\/)?([a-z0-9_-]{1,16})\/segment_([1-9]\d{0,9})\.(?:m4s|ts)$/
const PLAYLIST = /\/v\/[A-Za-z0-9_-]{1,64}\/(?:@[a-z0-9,]{1,64}\/)?([a-z0-9_-]{1,16})\/playlist(?:_ts)?\.m3u8$/
