// Tests of the order in which places are tried, and of what is said about it.
import { expect, test } from 'vitest'
import type { Playback } from '../api/answers'
import { notice, onHostOf, sources } from './sources'

const playback: Playback = {
  session: 's',
  manifests: { hls: 'https://a/master.m3u8', dash: 'https://a/manifest.mpd' },
  alternatives: [
    { name: 'edge-1', manifests: { hls: 'https://a/master.m3u8' } },
    { name: 'edge-2', manifests: { hls: 'https://b/master.m3u8', dash: 'https://b/manifest.mpd' } },
    { name: 'edge-1 plain', manifests: { hls: 'http://a/master.m3u8' } },
  ],
  steered: {},
  poster: null,
  heartbeat: null,
  licences: null,
}

test('places are tried in the given order, each address once', () => {
  expect(sources(playback, 'hls').map(({ url }) => url)).toEqual([
    'https://a/master.m3u8',
    'https://b/master.m3u8',
    'http://a/master.m3u8',
  ])
})

test('a place without the format is passed over', () => {
  expect(sources(playback, 'dash')).toEqual([
    { name: null, url: 'https://a/manifest.mpd', steered: false },
    { name: 'edge-2', url: 'https://b/manifest.mpd', steered: false },
  ])
  expect(sources(playback, 'hls-ts')).toEqual([])
})

test('nothing is said while the first place plays', () => {
  expect(notice(sources(playback, 'hls'), 0)).toBeNull()
  expect(notice([], 3)).toBeNull()
})

test('another secure place is named, a plain one is explained', () => {
  const all = sources(playback, 'hls')
  expect(notice(all, 1)).toContain('edge-2')
  expect(notice(all, 2)).toMatch(/certificate.*HTTP\/1\.1/)
})

test('a plain place is no surprise when the first one was plain too', () => {
  expect(notice(
    [
      { name: null, url: 'http://a/', steered: false },
      { name: 'b', url: 'http://b/', steered: false },
    ],
    1,
  )).toContain('b')
})

test('one manifest of all places comes first, and nothing is said of it nor of the first place', () => {
  const all = sources({ ...playback, steered: { hls: 'https://api/steering/master.m3u8' } }, 'hls')
  expect(all.map(({ steered }) => steered)).toEqual([true, false, false, false])
  expect([notice(all, 0), notice(all, 1)]).toEqual([null, null])
  expect(notice(all, 2)).toContain('edge-2')
  expect(notice(all, 3)).toContain('certificate')
})

test('an address moves to another host with its path and query', () => {
  expect(onHostOf('https://a:1/~t/t/x/default.jpg?q=1', 'http://b:2/v/x/m')).toBe('http://b:2/~t/t/x/default.jpg?q=1')
  expect(onHostOf('no address', 'http://b:2/')).toBe('no address')
})
