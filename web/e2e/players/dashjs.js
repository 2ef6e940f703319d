// dash.js as the steps of page.js see it.
import { odd, round, until, wrong } from './tools.js'

export async function dashjsPlayer(film, url, license) {
  const { dashjs } = window
  const player = dashjs.MediaPlayer().create()
  player.updateSettings({ streaming: { buffer: { fastSwitchEnabled: true, bufferTimeDefault: 10, bufferTimeAtTopQuality: 10 } } })
  // What the player goes on without. A segment (27, 28) that one location does not give: it takes the next location, or
  // else stalls. A steering manifest, whose loss dash.js 5.2 gives no code: it stays on the pathway that it is on.
  const lost = new Set([27, 28, null])
  player.on(dashjs.MediaPlayer.events.ERROR, ({ error }) => {
    const tell = lost.has(error?.code) ? odd : wrong
    tell(`${error?.code ?? ''} ${error?.message ?? error}`)
  })
  player.on(dashjs.Protection?.events?.KEY_ERROR ?? 'public_keyError', ({ error }) => wrong(`key: ${error?.message ?? error}`))
  player.on(dashjs.MediaPlayer.events.PLAYBACK_ERROR, ({ error }) => odd(`playback: ${error?.message ?? error}`))
  let ready = false
  player.on(dashjs.MediaPlayer.events.STREAM_INITIALIZED, () => (ready = true))
  if (license) player.setProtectionData({ 'org.w3.clearkey': { serverURL: license } })
  player.initialize(film, url, true)
  await until(() => ready, 'the first period')
  const named = ({ lang, id, index }) => ({ id: `${id ?? ''} ${index}`, lang })
  const tracks = (type) => player.getTracksFor(type)

  return {
    url,
    qualities: () => player.getRepresentationsByType('video').map(({ id, width, height }) => ({ id, width, height })),
    chooseQuality({ id }) {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } } } })
      player.setRepresentationForTypeById('video', id, true)
    },
    sounds: () => tracks('audio').length > 0,
    audios: () => tracks('audio').map(named),
    audio: () => [player.getCurrentTrackFor('audio')].filter(Boolean).map(named)[0],
    chooseAudio: ({ id }) => player.setCurrentTrack(tracks('audio').find((track) => named(track).id === id)),
    texts: () => tracks('text').map(named),
    chooseText({ id }) {
      player.enableText(true)
      player.setTextTrack(tracks('text').findIndex((track) => named(track).id === id))
    },

    async thumbnail(place_s, cut) {
      let tile
      player.provideThumbnail(place_s, (found) => (tile = found ?? 'none'))
      await until(() => tile, `the thumbnail at ${round(place_s)} s`)
      if (tile === 'none') throw new Error(`no thumbnail for ${round(place_s)} s`)
      const { url: sheet, x, y, width, height } = tile
      return cut(place_s, sheet, { x, y, width, height })
    },

    iframesBegin() {
      throw new Error('dash.js has no way to play I-frames alone')
    },
  }
}
