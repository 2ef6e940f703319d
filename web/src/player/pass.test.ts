// Tests of how a renewed token gets into the addresses that a player asks for.
import { expect, test } from 'vitest'
import { Pass } from './pass'

test('addresses are asked for as they are until a heartbeat brings another token', () => {
  const pass = new Pass()
  const url = 'https://a:1/~m1.k1.old.tag/v/film/720p/segment_3.m4s'
  expect(pass.now(url)).toBe(url)
  pass.renew({ hls: 'https://b/~m1.k2.new.tag/v/film/@clearkey/master.m3u8' })
  expect(pass.now(url)).toBe('https://a:1/~m1.k2.new.tag/v/film/720p/segment_3.m4s')
  pass.renew({ dash: 'https://b/~m1.k2.newest.tag/v/film/manifest.mpd' })
  expect(pass.now(url)).toBe('https://a:1/~m1.k2.newest.tag/v/film/720p/segment_3.m4s')
})

test('a place that verifies other tokens, and what bears none, is left alone', () => {
  const pass = new Pass()
  pass.renew({ hls: 'https://b/~m1.k1.new.tag/v/film/master.m3u8' })
  for (const url of [
    'https://partner/~m2.k1.old.tag/v/film/720p/segment_3.m4s',
    'https://control/v1/steering/s/master.m3u8?x=/~m1.a.b.c/',
    'https://a/v/film/~m1.k1.old.tag/segment_3.m4s',
    'skd://film',
  ]) {
    expect(pass.now(url)).toBe(url)
  }
  const none = new Pass()
  none.renew({ hls: 'https://b/v/film/master.m3u8' })
  expect(none.now('https://a/~m1.k1.t.g/v/film/x')).toBe('https://a/~m1.k1.t.g/v/film/x')
})
