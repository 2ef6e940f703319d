// Turns the API's problems (RFC 9457) into sentences a viewer understands.

/** A call that did not succeed. */
export class Problem extends Error {
  override readonly name = 'Problem'

  constructor(
    /** The HTTP status; 0 means that no answer came. */
    readonly status: number,
    /** The server's own words about this case, if it had any. */
    readonly detail: string | null = null,
    /** The server's code for the kind of problem, if it gave one. */
    readonly type: string | null = null,
    /** After how many seconds the server asks to be asked again, if it said so. */
    readonly retry_after_s: number | null = null,
  ) {
    super(detail ?? `status ${status}`)
  }

  /** Reads a problem document; anything else still gives a problem with the status. */
  static parse(status: number, body: unknown, retryAfter: string | null = null): Problem {
    const after_s = retryAfter !== null && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : null
    if (typeof body !== 'object' || body === null) return new Problem(status, null, null, after_s)
    const { title, detail, type } = body as Record<string, unknown>
    return new Problem(status, text(detail) ?? text(title), text(type), after_s)
  }
}

/** Whether the same call may succeed in a little while. */
export function passes({ status }: Problem): boolean {
  return status === 0 || status === 429 || status >= 500
}

/** A problem as a sentence. */
export function sentence({ status }: Problem): string {
  switch (status) {
    case 0:
      return 'The server does not answer. Is it running, and are you online?'
    case 400:
    case 404:
      return 'There is no film at this address.'
    case 401:
    case 403:
      return 'You may not watch this film.'
    case 409:
      return 'This film is not ready yet.'
    case 410:
      return 'This film is no longer available.'
    case 429:
      return 'Too many requests came from here. The page tries again in a moment.'
    case 451:
      return 'This film is not available where you are.'
    default:
      return status >= 500 ? 'The server has trouble at the moment.' : 'This film cannot be played.'
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value.slice(0, LONGEST) : null
}

/** The most characters of the server's words that are shown. */
const LONGEST = 300
