// What the page's steps and the players' adapters share: waiting, frames, cues, pictures, pitch.

/** Problems that the player, or the video element, told of. */
export const errors = []
/** Lesser ones, from which the player says it recovers. */
export const warnings = []
let patience_ms = 15_000

export function bePatient(milliseconds) {
  patience_ms = milliseconds
}

export function wrong(text) {
  if (errors.length < 8) errors.push(String(text).slice(0, 300))
}

export function odd(text) {
  if (warnings.length < 8) warnings.push(String(text).slice(0, 200))
}

/** Waits until `condition` gives something; a player's error, or the end of patience, ends the wait. */
export async function until(condition, what) {
  const end = performance.now() + patience_ms
  for (;;) {
    const found = condition()
    if (found) return found
    if (errors.length > 0) throw new Error(`${what}: ${errors[0]}`)
    if (performance.now() > end) throw new Error(`${what}: not seen in ${patience_ms / 1000} s`)
    await new Promise((done) => setTimeout(done, 40))
  }
}

/** How many frames an element has decoded. */
export function frames(video) {
  return video.getVideoPlaybackQuality().totalVideoFrames
}

/** Waits until that many more frames are decoded, and gives how many there were. */
export async function moreFrames(video, count, what) {
  const before = frames(video)
  await until(() => frames(video) >= before + count, `${what}: ${count} more frames`)
  return frames(video) - before
}

/** Remembers the media time of the latest frame that an element showed. */
export function watchFrames(video) {
  const latest = { frame_s: null }
  const told = (_, { mediaTime }) => {
    latest.frame_s = round(mediaTime)
    video.requestVideoFrameCallback(told)
  }
  video.requestVideoFrameCallback(told)
  return latest
}

/** The cues that are shown now. */
export function cues(video) {
  return [...video.textTracks]
    .filter(({ mode, kind }) => mode !== 'disabled' && kind !== 'metadata')
    .flatMap(({ activeCues }) => [...(activeCues ?? [])])
    .map(({ text, startTime, endTime }) => ({ text, start_s: round(startTime), end_s: round(endTime) }))
}

export function round(seconds) {
  return Number(seconds.toFixed(2))
}

/** Listens to what an element plays. */
export function listen(video) {
  const sounds = new AudioContext()
  const ear = sounds.createAnalyser()
  ear.fftSize = 8192
  ear.smoothingTimeConstant = 0
  sounds.createMediaElementSource(video).connect(ear).connect(sounds.destination)
  const levels = new Float32Array(ear.frequencyBinCount)
  return {
    /** The loudest frequency, or null while it is silent. */
    pitch_hz() {
      ear.getFloatFrequencyData(levels)
      const loudest = levels.reduce((best, level, index) => (level > levels[best] ? index : best), 0)
      return levels[loudest] > -70 ? Math.round((loudest * sounds.sampleRate) / ear.fftSize) : null
    },
  }
}

/** Loads an image and gives the contrast (0 to 255) and a coarse print of a part of it, or of all of it. */
export async function measure(source, part) {
  const image = new Image()
  image.crossOrigin = 'anonymous'
  image.src = source
  await image.decode()
  const { x, y, width, height } = part ?? { x: 0, y: 0, width: image.naturalWidth, height: image.naturalHeight }
  if (!(width > 0 && height > 0) || x < 0 || y < 0 || x + width > image.naturalWidth || y + height > image.naturalHeight) {
    throw new Error(`${width}×${height} at ${x},${y} is not inside an image of ${image.naturalWidth}×${image.naturalHeight}`)
  }
  const canvas = document.createElement('canvas')
  canvas.width = 64
  canvas.height = 36
  const brush = canvas.getContext('2d', { willReadFrequently: true })
  brush.drawImage(image, x, y, width, height, 0, 0, 64, 36)
  const greens = [...brush.getImageData(0, 0, 64, 36).data.filter((_, index) => index % 4 === 1)]
  return {
    spread: Math.max(...greens) - Math.min(...greens),
    image: [image.naturalWidth, image.naturalHeight],
    // Every fifth spot in steps of eight: the same picture prints the same, however it was compressed.
    pixels: greens.filter((_, index) => index % 5 === 0).map((green) => green >> 3),
  }
}
