// Waiting that ends early when there is a reason.

/** Waits, but not longer than until it is told to stop or the network is back. */
export function pause(wait_ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const over = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', over)
      globalThis.removeEventListener?.('online', over)
      done()
    }
    const timer = setTimeout(over, wait_ms)
    signal.addEventListener('abort', over)
    globalThis.addEventListener?.('online', over)
  })
}
