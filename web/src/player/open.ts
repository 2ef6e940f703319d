// Opens a film with the player library that its format needs; a library is fetched on first use.
import type { Engine, Format, Listener, Start } from './engine'

/** Resolves as soon as the player is at work; what happens to the film is told to the listener. */
export async function open(format: Format, video: HTMLVideoElement, start: Start, listener: Listener): Promise<Engine> {
  if (format === 'dash') {
    const { openShaka } = await import('./shaka')
    return openShaka(video, start, listener)
  }
  const { openHls } = await import('./hlsjs')
  return openHls(video, start, listener)
}
