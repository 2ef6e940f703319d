// tus-js-client as a program: upload.mjs ENDPOINT FILE NOTE [PARALLEL]. NOTE keeps the upload's address between runs.
import { createReadStream, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

import { Upload } from 'tus-js-client';

const [endpoint, file, note, parallel] = process.argv.slice(2);

const upload = new Upload(createReadStream(file), {
  endpoint,
  uploadUrl: existsSync(note) ? readFileSync(note, 'utf8') : null,
  parallelUploads: Number(parallel ?? 1),
  metadata: { filename: 'film.mp4', filetype: 'video/mp4' },
  metadataForPartialUploads: {},
  retryDelays: null,
  onUploadUrlAvailable() {
    if (upload.url) {
      // Whole or not at all, whenever this program is killed.
      writeFileSync(`${note}.new`, upload.url);
      renameSync(`${note}.new`, note);
    }
  },
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess() {
    console.log(upload.url);
  },
});
upload.start();
