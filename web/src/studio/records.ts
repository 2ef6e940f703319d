// What this browser remembers of uploads, so that they go on after a reload: addresses and names, never a credential.

/** An upload. */
export interface Upload {
  /** Its address at ingest. */
  url: string
  /** The film that it becomes. */
  video: string
  title: string
  /** The file, as the browser names it. */
  name: string
  size: number
  modified_ms: number
  /** A digest of the file's beginning, where the browser could make one. */
  print: string | null
  /** Whether all of it has arrived. */
  sent: boolean
}

/** What is known of a file without reading it. */
export type FileFacts = Pick<File, 'name' | 'size' | 'lastModified'>

/** The uploads that this browser remembers, the newest first. */
export class Records {
  constructor(private readonly kept: Pick<Storage, 'getItem' | 'setItem'>) {}

  all(): Upload[] {
    try {
      const found: unknown = JSON.parse(this.kept.getItem(KEY) ?? '[]')
      return Array.isArray(found) ? found.filter(isUpload) : []
    } catch {
      return []
    }
  }

  /** Remembers an upload, in place of what was known of it. */
  put(upload: Upload): void {
    this.write([upload, ...this.all().filter(({ url }) => url !== upload.url)])
  }

  forget(upload: Upload): void {
    this.write(this.all().filter(({ url }) => url !== upload.url))
  }

  /** Forgets all of them: whoever signs in next in this browser is somebody else. */
  forgetAll(): void {
    this.write([])
  }

  /** The upload of this file that is not complete, if there is one. */
  of(file: FileFacts): Upload | null {
    return this.all().find((upload) => !upload.sent && isOf(upload, file)) ?? null
  }

  private write(uploads: Upload[]): void {
    // Those that have arrived are listed for convenience only: the oldest of them go first.
    const kept = [...uploads].sort((a, b) => Number(a.sent) - Number(b.sent)).slice(0, MOST)
    try {
      this.kept.setItem(KEY, JSON.stringify(uploads.filter((upload) => kept.includes(upload))))
    } catch {
      // Storage that is full or forbidden costs going on after a reload, and nothing else.
    }
  }
}

/** Whether an upload is of this file, by all that is known without reading it. */
export function isOf(upload: Upload, file: FileFacts): boolean {
  return upload.name === file.name && upload.size === file.size && upload.modified_ms === file.lastModified
}

function isUpload(value: unknown): value is Upload {
  if (typeof value !== 'object' || value === null) return false
  const { url, video, title, name, size, modified_ms, print, sent } = value as { [field: string]: unknown }
  const texts = [url, video, title, name].every((field) => typeof field === 'string' && field !== '')
  const numbers = [size, modified_ms].every((field) => typeof field === 'number' && Number.isFinite(field))
  return texts && numbers && /^https?:/.test(url as string) && (print === null || typeof print === 'string') && typeof sent === 'boolean'
}

const KEY = 'millrace.uploads'
const MOST = 20
