// video.js, which plays by VHS (@videojs/http-streaming), as the steps of page.js see it.
import { odd, until, wrong } from './tools.js'

export async function vhsPlayer(film, url, license) {
  if (license) throw new Error('video.js has licences by a plug-in alone, videojs-contrib-eme')
  const { videojs } = window
  videojs.log.level('error')
  // As far ahead as the other players here; by itself it fetches half a minute and, as it plays, up to a whole one.
  Object.assign(videojs.Vhs, { GOAL_BUFFER_LENGTH: 10, MAX_GOAL_BUFFER_LENGTH: 10 })
  const { id } = film
  const player = videojs(film, {
    // Chromium plays HLS by itself, but knows nothing of steering.
    html5: { vhs: { overrideNative: true }, nativeAudioTracks: false, nativeVideoTracks: false, nativeTextTracks: true },
    ...{ controlBar: false, bigPlayButton: false, loadingSpinner: false, errorDisplay: false, textTrackSettings: false },
  })
  // It has taken the film's name for what it built around it.
  player.el().id = `${id}-player`
  film.id = id
  player.on('error', () => wrong(`${player.error()?.code} ${player.error()?.message}`))
  player.src({ src: url, type: /\.mpd(\?|$)/.test(url) ? 'application/dash+xml' : 'application/x-mpegURL' })
  const tech = () => player.tech({ IWillNotUseThisInPlugins: true })
  await until(() => tech()?.vhs?.playlists?.main && player.readyState() >= 1, 'the first segments')
  tech().on(['excludeplaylist', 'retryplaylist'], ({ type }) => odd(type))
  const { vhs } = tech()
  const tracks = (list) => Array.from({ length: list.length }, (_, index) => list[index])
  const named = ({ id, language, label }) => ({ id, lang: language, name: label })
  const texts = () => tracks(player.textTracks()).filter(({ kind }) => kind === 'subtitles')

  return {
    url,
    qualities: () => vhs.representations().map(({ id, width, height }) => ({ id, width, height })),
    chooseQuality: ({ id }) => vhs.representations().forEach((one) => one.enabled(one.id === id)),
    sounds: () => player.audioTracks().length > 0,
    audios: () => tracks(player.audioTracks()).map(named),
    audio: () => tracks(player.audioTracks()).filter(({ enabled }) => enabled).map(named)[0],
    chooseAudio: ({ id }) => (tracks(player.audioTracks()).find((track) => track.id === id).enabled = true),
    texts: () => texts().map(named),
    chooseText: ({ id }) => texts().forEach((track) => (track.mode = track.id === id ? 'showing' : 'disabled')),
    thumbnail() {
      throw new Error('video.js reads no thumbnails')
    },
    iframesBegin() {
      throw new Error('video.js has no way to play I-frames alone')
    },
  }
}
