// Shaka Player as the steps of page.js see it.
import { frames, odd, round, until, wrong } from './tools.js'

export async function shakaPlayer(film, url, license) {
  const { shaka } = window
  shaka.polyfill.installAll()
  const player = new shaka.Player()
  await player.attach(film)
  player.addEventListener('error', ({ detail }) => {
    const text = `${detail.code} ${JSON.stringify(detail.data)}`
    if (detail.severity === shaka.util.Error.Severity.CRITICAL) wrong(text)
    else odd(text)
  })
  if (license) player.configure({ drm: { servers: { 'org.w3.clearkey': license } } })
  /** Segments of I-frame streams that came. */
  let stills = 0
  player.getNetworkingEngine().registerResponseFilter((type, response, about) => {
    const segment = type === shaka.net.NetworkingEngine.RequestType.SEGMENT && about?.segment
    if (segment && tricks().has(about.stream?.id)) stills += 1
  })
  const tricks = () => {
    const variants = player.getManifest()?.variants ?? []
    return new Set(variants.map(({ video }) => video?.trickModeVideo?.id).filter((id) => id !== undefined))
  }
  try {
    await player.load(url)
  } catch (error) {
    throw new Error(`${error.code ?? error} ${JSON.stringify(error.data ?? '')}`.slice(0, 300))
  }
  const variant = () => player.getVariantTracks().find(({ active }) => active)
  const named = ({ language, label }) => ({ id: `${language} ${label ?? ''}`, lang: language, name: label })
  const pick = (list, { id }) => list.find((track) => named(track).id === id)

  return {
    url,
    qualities() {
      const { language } = variant()
      const same = player.getVariantTracks().filter((track) => track.language === language)
      return same.map((track) => ({ id: track.id, width: track.width, height: track.height, track }))
    },
    chooseQuality({ track }) {
      player.configure('abr.enabled', false)
      player.selectVariantTrack(track, true)
    },
    sounds: () => player.getAudioTracks().length > 0,
    audios: () => player.getAudioTracks().map(named),
    audio: () => player.getAudioTracks().filter(({ active }) => active).map(named)[0],
    chooseAudio: (choice) => player.selectAudioTrack(pick(player.getAudioTracks(), choice)),
    texts: () => player.getTextTracks().map(named),
    chooseText: (choice) => player.selectTextTrack(pick(player.getTextTracks(), choice)),

    async thumbnail(place_s, cut) {
      const track = player.getImageTracks()[0]
      if (!track) throw new Error('no image track')
      const tile = await player.getThumbnails(track.id, place_s)
      if (!tile) throw new Error(`no thumbnail for ${round(place_s)} s`)
      const { positionX: x, positionY: y, width, height, uris } = tile
      const shown = await cut(place_s, uris[0], { x, y, width, height })
      return { ...shown, start_s: round(tile.startTime), duration_s: round(tile.duration) }
    },

    /** Loads the film anew with next to nothing ahead, so that what is shown afterwards must come from the I-frames. */
    async iframesBegin() {
      if (tricks().size === 0) throw new Error('no I-frame stream')
      player.configure({ abr: { enabled: false }, streaming: { bufferingGoal: 1, rebufferingGoal: 0.1 } })
      await player.load(url, 0)
      await until(() => film.readyState >= 2, 'the film loaded anew')
      film.pause()
      player.trickPlay(2, true)
      // The browser shows a frame that was sought only when it has several to follow, or knows that none do.
      player.configure({ streaming: { bufferingGoal: 60 } })
      return { where: '#film', variants: tricks().size }
    },

    async iframeAt(place_s) {
      const before = frames(film)
      film.currentTime = place_s
      const shown = () => frames(film) > before && !film.seeking && film.readyState >= 2
      await until(() => stills > 0 && shown(), `the I-frame at ${round(place_s)} s`)
      return film
    },

    async iframesEnd() {
      player.cancelTrickPlay()
      await film.play()
      return { came: stills }
    },
  }
}
