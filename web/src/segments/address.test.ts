// Tests of the address reader.
import { expect, test } from 'vitest'
import { playlistRendition, segmentAddress } from './address'

test('a segment is read with and without a token, on any host', () => {
  const want = { video: 'film_1', rendition: '720p', number: 12 }
  expect(segmentAddress('https://localhost:4433/~m1.k1.AbC/v/film_1/720p/segment_12.m4s')).toEqual(want)
  expect(segmentAddress('/v/film_1/720p/segment_12.ts?exp=1&kid=a&sig=b')).toEqual(want)
})

test('a view does not count', () => {
  const want = { video: 'film_1', rendition: '720p', number: 3 }
  expect(segmentAddress('https://h/~t/v/film_1/@cenc,clearkey,2s/720p/segment_3.m4s')).toEqual(want)
  expect(playlistRendition('/v/x/@clearkey/360p/playlist.m3u8')).toBe('360p')
})

test('what is no segment is not read as one', () => {
  for (const url of [
    '/v/x/720p/init.mp4',
    '/v/x/720p/segment_0.m4s',
    '/v/x/720p/segment_01.m4s',
    '/v/x/720p/segment_1.mp4',
    '/v/x/segment_1.m4s',
    '/w/x/720p/segment_1.m4s',
    '/other?u=/v/x/720p/segment_1.m4s',
  ]) {
    expect(segmentAddress(url), url).toBeNull()
  }
})

test('a playlist names its rendition', () => {
  expect(playlistRendition('https://h/~t/v/x/1080p/playlist.m3u8')).toBe('1080p')
  expect(playlistRendition('/v/x/360p/playlist_ts.m3u8?a')).toBe('360p')
  expect(playlistRendition('/v/x/master.m3u8')).toBeNull()
})
