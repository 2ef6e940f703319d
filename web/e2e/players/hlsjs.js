// hls.js as the steps of page.js see it.
import { frames, odd, round, until, wrong } from './tools.js'

export async function hlsjsPlayer(film, url, license) {
  const { Hls } = window
  const eme = license ? { emeEnabled: true, drmSystems: { 'org.w3.clearkey': { licenseUrl: license } } } : {}
  const hls = new Hls({ maxBufferLength: 10, maxMaxBufferLength: 10, ...eme })
  let parsed = false
  hls.on(Hls.Events.MANIFEST_PARSED, () => (parsed = true))
  hls.on(Hls.Events.ERROR, (_, { fatal, type, details, error }) => {
    const text = `${type} ${details}: ${error?.message ?? ''}`
    if (fatal) wrong(text)
    else odd(text)
  })
  hls.loadSource(url)
  hls.attachMedia(film)
  await until(() => parsed, 'the multivariant playlist')
  const tracks = (list) => list.map(({ lang, name }, id) => ({ id, lang, name }))
  let still

  return {
    url,
    qualities: () => hls.levels.map(({ width, height }, id) => ({ id, width, height })),
    chooseQuality: ({ id }) => (hls.nextLevel = id),
    // A film whose sound lies in its video's segments has no audio track, and is not said to be silent.
    sounds: () => hls.audioTracks.length > 0 || hls.levels.some(({ audioCodec }) => audioCodec),
    audios: () => tracks(hls.audioTracks),
    audio: () => tracks(hls.audioTracks)[hls.audioTrack],
    chooseAudio: ({ id }) => (hls.audioTrack = id),
    texts: () => tracks(hls.subtitleTracks),
    chooseText({ id }) {
      hls.subtitleTrack = id
      hls.subtitleDisplay = true
    },

    /** Only I-frames that are JPEG pictures in MP4 are thumbnails to hls.js. */
    async thumbnail(place_s, cut) {
      const images = hls.createImageIFramePlayer()
      if (!images) throw new Error('no I-frame playlist of JPEG pictures')
      const image = new Image()
      images.attachImage(image)
      images.loadMediaAt(place_s)
      await until(() => image.src && image.complete && image.naturalWidth > 0, `the thumbnail at ${round(place_s)} s`)
      const shown = await cut(place_s, image.src)
      images.destroy()
      return shown
    },

    iframesBegin(scrub) {
      still = hls.createIFramePlayer(license ? eme : {})
      if (!still) throw new Error('no I-frame playlist')
      still.on(Hls.Events.ERROR, (_, { fatal, details, error }) => (fatal ? wrong : odd)(`I-frames: ${details}: ${error?.message}`))
      still.attachMedia(scrub)
      return { where: '#scrub', variants: hls.iframeVariants.length }
    },

    async iframeAt(place_s) {
      const { media } = still
      const before = frames(media)
      still.loadMediaAt(place_s)
      await until(
        () => frames(media) > before && !media.seeking && media.readyState >= 2 && Math.abs(media.currentTime - place_s) < 0.1,
        `the I-frame at ${round(place_s)} s`,
      )
      return media
    },

    iframesEnd() {
      const facts = { frames: frames(still.media) }
      still.destroy()
      return facts
    },
  }
}
