// The page's side of players.mjs: one film in one player, and a method for each step. Whatever does not hold throws.
import { dashjsPlayer } from './dashjs.js'
import { hlsjsPlayer } from './hlsjs.js'
import { shakaPlayer } from './shaka.js'
import * as tools from './tools.js'
import { vhsPlayer } from './vhs.js'

const { cues, frames, measure, moreFrames, round, until } = tools

function element(id) {
  const video = document.createElement('video')
  Object.assign(video, { id, width: 640, height: 360, playsInline: true, crossOrigin: 'anonymous' })
  video.style.display = 'block'
  document.body.append(video)
  return video
}

const film = element('film')
/** Where hls.js shows single I-frames. */
const scrub = element('scrub')
const times = new Map([film, scrub].map((video) => [video, tools.watchFrames(video)]))
let player
let ear

for (const video of [film, scrub]) {
  video.addEventListener('error', () => tools.wrong(`media error ${video.error?.code}: ${video.error?.message}`))
}

/** Leaves enough of a short film to see a change in. */
async function rewind() {
  if (!film.ended && film.currentTime < film.duration * 0.5) return
  await jump(film.duration * 0.1)
}

/** Goes to a place, and plays on there. */
async function jump(place_s) {
  let there = false
  film.addEventListener('seeked', () => (there = true), { once: true })
  film.currentTime = place_s
  await until(() => there, `a jump to ${round(place_s)} s`)
  if (film.paused) await film.play()
}

/** The one of `found` that is asked for, or else the first that differs from `current`. */
function other(found, current, lang, what) {
  const choice = found.find((one) => (lang ? one.lang === lang : one.id !== current?.id))
  if (choice) return choice
  throw new Error(lang ? `no ${what} in ${lang}` : `no second ${what} among ${found.length}`)
}

async function cut(place_s, url, part) {
  return { asked_s: round(place_s), url, ...part, ...(await measure(url, part)) }
}

window.millrace = {
  measure,

  async play({ player: name, url, patience_ms, license }) {
    tools.bePatient(patience_ms)
    ear = tools.listen(film)
    const make = { 'hls.js': hlsjsPlayer, shaka: shakaPlayer, 'dash.js': dashjsPlayer, 'video.js': vhsPlayer }[name]
    player = await make(film, url, license)
    film.play().catch((error) => error.name === 'AbortError' || tools.wrong(`play: ${error.message}`))
    await until(() => film.currentTime > 0.5, 'playing')
    await moreFrames(film, 12, 'playing')
    const heard = player.sounds()
    if (heard) await until(() => film.webkitAudioDecodedByteCount > 0, 'sound')
    const { videoWidth: width, videoHeight: height } = film
    return { frames: frames(film), at_s: round(film.currentTime), duration_s: round(film.duration), width, height, heard }
  },

  /** Up to where the film was fetched. */
  ahead() {
    const { buffered } = film
    return { ahead_s: buffered.length > 0 ? buffered.end(buffered.length - 1) : 0 }
  },

  /** Plays on slowly, so that there is film left after a long wait. */
  async dawdle() {
    film.playbackRate = 0.25
    return { more: await moreFrames(film, 2, 'playing slowly') }
  },

  /** Plays up to a place that was not fetched yet. */
  async beyond(place_s) {
    if (place_s > film.duration) throw new Error(`the film has only ${round(film.duration)} s, all of them fetched`)
    const began = performance.now()
    // Nothing is to be learned from what was fetched already: it goes by faster.
    film.playbackRate = 3
    await until(() => film.currentTime > place_s, `playing up to ${round(place_s)} s`)
    film.playbackRate = 1
    const more = await moreFrames(film, 12, 'playing on')
    return { at_s: round(film.currentTime), took_s: round((performance.now() - began) / 1000), more }
  },

  async quality() {
    await rewind()
    const size = () => `${film.videoWidth}x${film.videoHeight}`
    const from = size()
    const qualities = player.qualities()
    const choice = qualities.find(({ width, height }) => `${width}x${height}` !== from)
    if (!choice) throw new Error(`no other quality among ${qualities.length}`)
    player.chooseQuality(choice)
    const wanted = `${choice.width}x${choice.height}`
    await until(() => size() === wanted, `the change from ${from} to ${wanted}`)
    return { from, to: size(), qualities: qualities.length, more: await moreFrames(film, 12, 'after the change') }
  },

  async audio(lang, distinct) {
    await rewind()
    const before = { lang: player.audio()?.lang, pitch_hz: await until(() => ear.pitch_hz(), 'sound before the change') }
    const choice = other(player.audios(), player.audio(), lang, 'audio track')
    const bytes = film.webkitAudioDecodedByteCount
    player.chooseAudio(choice)
    await until(() => player.audio()?.id === choice.id, `the change to ${choice.lang}`)
    const apart = (pitch) => pitch !== null && Math.abs(pitch - before.pitch_hz) > 30
    if (distinct) await until(() => apart(ear.pitch_hz()), `another pitch than ${before.pitch_hz} Hz`)
    await until(() => film.webkitAudioDecodedByteCount !== bytes, 'sound decoded after the change')
    await moreFrames(film, 12, 'after the change')
    const pitch_hz = await until(() => ear.pitch_hz(), 'sound after the change')
    return { from: before, to: { lang: player.audio().lang, pitch_hz }, tracks: player.audios().length }
  },

  async text(lang) {
    await rewind()
    const found = await until(() => player.texts().length > 0 && player.texts(), 'a text track')
    const choice = other(found, null, lang, 'text track')
    player.chooseText(choice)
    const shown = await until(() => cues(film).find(({ text }) => text.trim() !== '') && cues(film), 'an active cue')
    return { lang: choice.lang, tracks: found.length, at_s: round(film.currentTime), cues: shown }
  },

  async thumbnails(parts) {
    const shown = []
    for (const part of parts) shown.push(await player.thumbnail(part * film.duration, cut))
    return { shown }
  },

  async sprites(parts, name) {
    const url = new URL(name, player.url).href
    const track = document.createElement('track')
    Object.assign(track, { kind: 'metadata', src: url, default: true })
    scrub.append(track)
    track.track.mode = 'hidden'
    await until(() => track.readyState >= 2, 'the sprite list')
    const list = [...(track.track.cues ?? [])]
    const shown = []
    for (const part of parts) {
      const place_s = part * film.duration
      const cue = list.find(({ startTime, endTime }) => startTime <= place_s && place_s < endTime)
      const [, file, ...box] = /^(.+)#xywh=(\d+),(\d+),(\d+),(\d+)$/.exec(cue?.text.trim() ?? '') ?? []
      if (!file) throw new Error(`no tile for ${round(place_s)} s among ${list.length} cues`)
      const [x, y, width, height] = box.map(Number)
      shown.push(await cut(place_s, new URL(file, url).href, { x, y, width, height }))
    }
    return { cues: list.length, shown }
  },

  async seek(place_s) {
    await jump(place_s)
    const more = await moreFrames(film, 10, `after the jump to ${place_s} s`)
    if (film.currentTime < place_s || film.currentTime > place_s + 10) throw new Error(`at ${film.currentTime} s instead`)
    return { at_s: round(film.currentTime), more }
  },

  async iframesBegin() {
    return player.iframesBegin(scrub)
  },

  async iframeAt(part) {
    const asked_s = part * film.duration
    const video = await player.iframeAt(asked_s)
    const { frame_s } = times.get(video)
    return { asked_s: round(asked_s), at_s: round(video.currentTime), frame_s, width: video.videoWidth, height: video.videoHeight }
  },

  async iframesEnd() {
    return player.iframesEnd()
  },

  async ended() {
    if (film.duration - film.currentTime > 4) await jump(film.duration - 2)
    const before = frames(film)
    await until(() => film.ended, 'the end')
    if (frames(film) <= before) throw new Error('no frame was decoded before the end')
    return { at_s: round(film.currentTime), frames: frames(film) }
  },

  look() {
    const { droppedVideoFrames: dropped, totalVideoFrames } = film.getVideoPlaybackQuality()
    const sums = { frames: totalVideoFrames, dropped, audio_bytes: film.webkitAudioDecodedByteCount ?? 0 }
    return { ...sums, encrypted: Boolean(film.mediaKeys), errors: tools.errors, warnings: tools.warnings }
  },
}
