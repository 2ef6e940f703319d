// Plays DASH by Shaka Player.
import shaka from 'shaka-player/dist/shaka-player.dash-es2021.js'
import type { Load } from '../segments/log'
import type { Choice, Engine, Failure, Listener, Quality, Start } from './engine'
import type { Licences } from './licences'

/** Starts Shaka Player on the video element. */
export async function openShaka(video: HTMLVideoElement, start: Start, listener: Listener): Promise<Engine> {
  shaka.polyfill.installAll()
  if (!shaka.Player.isBrowserSupported()) {
    listener.failed({ kind: 'unsupported', status: null, detail: 'shaka: no Media Source Extensions' })
    return { name: 'shaka', choose: () => {}, destroy: async () => {} }
  }
  const player = new shaka.Player()
  await player.attach(video)
  player.configure({
    // A manifest that nobody answers for is asked for elsewhere, so one repetition is enough.
    manifest: { retryParameters: { maxAttempts: 2, baseDelay: 300 } },
    streaming: { bufferingGoal: 30, retryParameters: { maxAttempts: 4 } },
  })
  if (start.licences !== null) unlock(player, video, start.licences)
  const choose = (choice: Choice) => select(player, choice)
  const told = () => {
    const now = tracks(player).find((track) => track.active)
    if (now !== undefined) listener.playing(idOf(now))
  }
  player.addEventListener('adaptation', told)
  player.addEventListener('variantchanged', told)
  player.addEventListener('error', (event) => {
    const { detail } = event as Event & { detail: shaka.util.Error }
    if (detail.severity === shaka.util.Error.Severity.CRITICAL) listener.failed(failure(detail))
  })
  player.getNetworkingEngine()?.registerRequestFilter((_, request) => {
    request.uris = request.uris.map((uri) => start.pass.now(uri))
  })
  player.getNetworkingEngine()?.registerResponseFilter((type, response, context) => {
    if (type === shaka.net.NetworkingEngine.RequestType.SEGMENT) listener.loaded(load(response, context))
  })
  // Not awaited: a manifest that cannot be had is told to the listener, like every later failure.
  player
    .load(start.url, start.position_s)
    .then(() => {
      listener.opened(qualities(player), tracks(player).some((track) => track.audioCodec !== null))
      if (start.choice !== 'auto') choose(start.choice)
      told()
    })
    .catch((error: shaka.util.Error) => {
      if (error.code !== shaka.util.Error.Code.LOAD_INTERRUPTED) listener.failed(failure(error))
    })
  return { name: 'shaka', choose, destroy: () => player.destroy() }
}

/** Has each request for a licence show a token. */
function unlock(player: shaka.Player, video: HTMLVideoElement, licences: Licences): void {
  player.configure({ drm: { servers: { [licences.keySystem]: licences.url } } })
  player.getNetworkingEngine()?.registerRequestFilter(async (type, request) => {
    if (type !== shaka.net.NetworkingEngine.RequestType.LICENSE) return
    request.headers['Authorization'] = `Bearer ${await licences.token(video.currentTime)}`
  })
}

function select(player: shaka.Player, choice: Choice): void {
  const wanted = choice === 'auto' ? undefined : tracks(player).find((track) => idOf(track) === choice)
  player.configure({ abr: { enabled: wanted === undefined } })
  // The buffer ahead is replaced, save for a second that is about to play.
  if (wanted !== undefined && !wanted.active) player.selectVariantTrack(wanted, true, 1)
}

/** The variants with the sound that is playing: one for each quality. */
function tracks(player: shaka.Player): shaka.extern.Track[] {
  const all = player.getVariantTracks()
  const now = all.find((track) => track.active) ?? all[0]
  return all.filter((track) => track.audioId === now?.audioId)
}

function qualities(player: shaka.Player): Quality[] {
  return tracks(player)
    .toSorted((a, b) => b.bandwidth - a.bandwidth)
    .map((track) => {
      const id = idOf(track)
      return { id, label: /^\d+p$/.test(id) ? id : `${track.height ?? id}p`, bitrate_bps: track.bandwidth }
    })
}

/** The Representation's id is the rendition's. */
function idOf(track: shaka.extern.Track): string {
  return track.originalVideoId ?? String(track.id)
}

function load(response: shaka.extern.Response, context?: shaka.extern.RequestContext): Load {
  const segment = context?.segment
  const took_ms = response.timeMs ?? 0
  return {
    url: response.originalUri,
    size_bytes: response.data.byteLength,
    duration_s: segment ? segment.getEndTime() - segment.getStartTime() : 0,
    cacheStatus: response.headers['cache-status'] ?? null,
    started_ms: performance.now() - took_ms,
    took_ms,
  }
}

function failure(error: shaka.util.Error): Failure {
  const { Category, Code } = shaka.util.Error
  const detail = `shaka: error ${error.code}`
  if (error.category === Category.DRM) {
    const cause = error.data[0] as shaka.util.Error | undefined
    const status = cause?.code === Code.BAD_HTTP_STATUS ? Number(cause.data[1]) : null
    return { kind: 'licence', status, detail }
  }
  if (error.category === Category.NETWORK) {
    const status = error.code === Code.BAD_HTTP_STATUS ? Number(error.data[1]) : null
    return { kind: 'network', status, detail }
  }
  const unsupported = [Code.CONTENT_UNSUPPORTED_BY_BROWSER, Code.RESTRICTIONS_CANNOT_BE_MET]
  return { kind: unsupported.includes(error.code) ? 'unsupported' : 'media', status: null, detail }
}
