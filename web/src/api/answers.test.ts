// Tests of the parsing of the API's answers.
import { expect, test } from 'vitest'
import { parseBeat, parseFilms, parsePlayback, parseStatus, Unexpected } from './answers'

const answer = {
  session_id: 's1',
  manifests: { hls: 'https://a/m.m3u8', hls_ts: 'https://a/t.m3u8', dash: 'https://a/m.mpd' },
  thumbnails: { poster: 'https://a/p.jpg' },
  heartbeat: { url: '/beat', every_s: 30 },
  alternatives: [{ name: 'edge-2', manifests: { hls: 'http://b/m.m3u8' } }],
}

test('a session tells its manifests, its other places and its heartbeat', () => {
  expect(parsePlayback(answer)).toEqual({
    session: 's1',
    manifests: { hls: 'https://a/m.m3u8', 'hls-ts': 'https://a/t.m3u8', dash: 'https://a/m.mpd' },
    steered: {},
    alternatives: [{ name: 'edge-2', manifests: { hls: 'http://b/m.m3u8' } }],
    poster: 'https://a/p.jpg',
    heartbeat: { url: '/beat', every_s: 30 },
    licences: null,
  })
})

test('what a session may leave out may be absent or null', () => {
  const bare = { session_id: 's1', manifests: { hls: 'https://a/m.m3u8', dash: null }, thumbnails: null, heartbeat: null }
  expect(parsePlayback(bare)).toMatchObject({ manifests: { hls: 'https://a/m.m3u8' }, alternatives: [], poster: null, heartbeat: null })
})

test('a protected film says where its licences come from, or is refused', () => {
  const drm = { type: 'clearkey', license_url: '/l', token: 't', expires_at: 1, renewal: { url: '/n', token: 'r' } }
  const licences = { system: 'clearkey', url: '/l', token: 't', renewal: { url: '/n', token: 'r' } }
  expect(parsePlayback({ ...answer, drm })).toMatchObject({ licences })
  for (const bad of [{}, 7, { ...drm, token: '' }, { ...drm, renewal: null }]) {
    expect(() => parsePlayback({ ...answer, drm: bad }), JSON.stringify(bad)).toThrow(Unexpected)
  }
})

test('a session without a name or a manifest is refused', () => {
  for (const bad of [null, {}, { ...answer, session_id: '' }, { ...answer, manifests: {} }, { ...answer, manifests: null }]) {
    expect(() => parsePlayback(bad), JSON.stringify(bad)).toThrow(Unexpected)
  }
})

test('a heartbeat is never asked for more often than once a second', () => {
  expect(parsePlayback({ ...answer, heartbeat: { url: '/b', every_s: 0.01 } }).heartbeat?.every_s).toBe(1)
  expect(parsePlayback({ ...answer, heartbeat: { url: '/b', every_s: 0 } }).heartbeat).toBeNull()
})

test('a list of films is parsed page by page', () => {
  expect(parseFilms({ videos: [{ video_id: 'a', title: '', duration_s: null }], next: 'b' })).toEqual({
    films: [{ id: 'a', title: 'a', duration_s: null, poster: null }],
    next: 'b',
  })
  expect(parseFilms({ videos: [] }).next).toBeNull()
  expect(() => parseFilms({ videos: [{}] })).toThrow(Unexpected)
  expect(() => parseFilms({})).toThrow(Unexpected)
})

test('progress stays between 0 and 100, and a failure has its reason', () => {
  expect(parseStatus({ state: 'processing', progress: 140 })).toMatchObject({ progress: 100, failed: false })
  expect(parseStatus({ state: 'failed', progress: 3, reason: 'no picture' })).toMatchObject({ failed: true, reason: 'no picture' })
})

test('a heartbeat hears that the session goes on, under which token, or why it stops', () => {
  expect(parseBeat({ action: 'continue', expires_at: 1 })).toEqual({ stop: null, manifests: null })
  const renewed = { action: 'continue', manifests: { hls: 'https://a/~t/m.m3u8', dash: null } }
  expect(parseBeat(renewed)).toEqual({ stop: null, manifests: { hls: 'https://a/~t/m.m3u8' } })
  expect(parseBeat({ action: 'stop', reason: 'lease_lost' }).stop).toBe('lease_lost')
  expect(parseBeat({ action: 'stop' }).stop).toBe('stopped')
  expect(() => parseBeat(null)).toThrow(Unexpected)
})

test('a session may offer manifests that lead from place to place', () => {
  const steered = { hls: 'https://api/s/master.m3u8', hls_ts: null }
  expect(parsePlayback({ ...answer, steered }).steered).toEqual({ hls: 'https://api/s/master.m3u8' })
})
