// One request of an upload. XMLHttpRequest, since fetch does not tell how much of a body has gone out.

/** What is asked. */
export interface Ask {
  method: string
  url: string
  headers: Record<string, string>
  body?: ArrayBuffer
  signal: AbortSignal
  /** Told how many bytes of the body have gone out. */
  onsent?: (bytes: number) => void
}

/** What is answered. */
export interface Reply {
  status: number
  header: (name: string) => string | null
  /** The body, as it is. */
  text: string
}

/** Sends one request; rejects when no answer comes, or the signal says so. */
export type Wire = (ask: Ask) => Promise<Reply>

/** The browser's own. */
export const wire: Wire = ({ method, url, headers, body, signal, onsent }) =>
  new Promise((answered, failed) => {
    const request = new XMLHttpRequest()
    let quiet: ReturnType<typeof setTimeout>
    const heard = () => {
      clearTimeout(quiet)
      quiet = setTimeout(() => request.abort(), QUIET_MS)
    }
    const stop = () => request.abort()
    const over = () => {
      clearTimeout(quiet)
      signal.removeEventListener('abort', stop)
    }
    request.open(method, url)
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    if (body !== undefined) {
      request.upload.onprogress = ({ loaded }) => {
        heard()
        onsent?.(Math.min(loaded, body.byteLength))
      }
    }
    request.onload = () => {
      over()
      answered({ status: request.status, header: (name) => request.getResponseHeader(name), text: request.responseText })
    }
    request.onerror = request.onabort = () => {
      over()
      failed(new TypeError(`no answer to ${method}`))
    }
    if (signal.aborted) return failed(new TypeError('stopped before it began'))
    signal.addEventListener('abort', stop)
    heard()
    request.send(body ?? null)
  })

/** A connection on which nothing moves for this long is given up; what has arrived is then asked for. */
const QUIET_MS = 60_000
