// Plays HLS, with fMP4 or TS segments, by hls.js.
import Hls, { type ErrorData, type FragLoadedData, type HlsConfig, type Level } from 'hls.js'
import { playlistRendition } from '../segments/address'
import type { Load } from '../segments/log'
import type { Choice, Engine, Failure, Listener, Quality, Start } from './engine'
import type { Licences } from './licences'

/** Starts hls.js on the video element. */
export function openHls(video: HTMLVideoElement, start: Start, listener: Listener): Engine {
  if (!Hls.isSupported()) {
    listener.failed({ kind: 'unsupported', status: null, detail: 'hls.js: no Media Source Extensions' })
    return { name: 'hls.js', choose: () => {}, destroy: async () => {} }
  }
  const hls = new Hls({
    // The page's Content-Security-Policy admits no worker from a file; fMP4 needs none, and TS is light enough.
    enableWorker: false,
    startPosition: start.position_s,
    maxBufferLength: 30,
    manifestLoadPolicy: { default: MANIFEST },
    fragLoadPolicy: { default: SEGMENT },
    xhrSetup(request, url) {
      const now = start.pass.now(url)
      if (now !== url) request.open('GET', now, true)
    },
    ...keys(video, start.licences),
  })
  const choose = (choice: Choice) => {
    // `nextLevel` keeps what is playing and replaces what is buffered behind it; -1 is automatic.
    hls.nextLevel = choice === 'auto' ? -1 : hls.levels.findIndex((level, index) => idOf(level, index) === choice)
  }
  let healed = false
  hls.on(Hls.Events.MANIFEST_PARSED, () => {
    listener.opened(hls.levels.map(quality).toReversed(), hasSound(hls))
    choose(start.choice)
  })
  hls.on(Hls.Events.LEVEL_SWITCHED, (_, { level }) => {
    const now = hls.levels[level]
    if (now !== undefined) listener.playing(idOf(now, level))
  })
  hls.on(Hls.Events.FRAG_LOADED, (_, data) => listener.loaded(load(data)))
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && !healed) {
      // A decoder that stumbled once usually goes on with fresh buffers.
      healed = true
      hls.recoverMediaError()
    } else {
      listener.failed(failure(data))
    }
  })
  hls.loadSource(start.url)
  hls.attachMedia(video)
  return { name: 'hls.js', choose, destroy: async () => hls.destroy() }
}

/** What hls.js is told of licences. */
function keys(video: HTMLVideoElement, licences: Licences | null): Partial<HlsConfig> {
  if (licences === null) return {}
  return {
    emeEnabled: true,
    drmSystems: { [licences.keySystem]: { licenseUrl: licences.url } },
    async licenseXhrSetup(request, url) {
      const token = await licences.token(video.currentTime)
      request.open('POST', url)
      request.setRequestHeader('authorization', `Bearer ${token}`)
    },
  }
}

function quality(level: Level, index: number): Quality {
  const id = idOf(level, index)
  const label = /^\d+p$/.test(id) || level.height === 0 ? id : `${level.height}p`
  return { id, label, bitrate_bps: level.bitrate }
}

function idOf(level: Level, index: number): string {
  return playlistRendition(level.uri) ?? `level-${index}`
}

function hasSound(hls: Hls): boolean {
  return hls.audioTracks.length > 0 || hls.levels.some((level) => Boolean(level.audioCodec))
}

function load({ frag, networkDetails, payload }: FragLoadedData): Load {
  const { loading } = frag.stats
  return {
    url: frag.url,
    size_bytes: payload.byteLength,
    duration_s: frag.duration,
    cacheStatus: networkDetails instanceof XMLHttpRequest ? fieldOf(networkDetails) : null,
    started_ms: loading.start,
    took_ms: loading.end - loading.start,
  }
}

/** Looks before it asks: asking for a field that CORS hides makes the browser complain. */
function fieldOf(request: XMLHttpRequest): string | null {
  const readable = /^cache-status:/im.test(request.getAllResponseHeaders())
  return readable ? request.getResponseHeader('cache-status') : null
}

function failure(data: ErrorData): Failure {
  const kinds = new Map<string, Failure['kind']>([
    [Hls.ErrorTypes.NETWORK_ERROR, 'network'],
    [Hls.ErrorTypes.KEY_SYSTEM_ERROR, 'licence'],
  ])
  const kind = kinds.get(data.type) ?? 'media'
  const status = kind === 'media' ? null : (data.response?.code ?? null)
  return { kind, status, detail: `hls.js: ${data.details}` }
}

/** A manifest that nobody answers for is asked for elsewhere, so one repetition is enough. */
const RETRY = { maxNumRetry: 1, retryDelayMs: 300, maxRetryDelayMs: 1000 }
const MANIFEST = { maxTimeToFirstByteMs: 10_000, maxLoadTimeMs: 20_000, timeoutRetry: null, errorRetry: RETRY }

/** A lost node is noticed while the buffer still lasts. */
const PATIENT = { maxNumRetry: 3, retryDelayMs: 500, maxRetryDelayMs: 4000 }
const SEGMENT = { maxTimeToFirstByteMs: 10_000, maxLoadTimeMs: 60_000, timeoutRetry: PATIENT, errorRetry: PATIENT }
