"""tuspy as a program: upload.py ENDPOINT FILE NOTE [CHUNK]. NOTE keeps the upload's address between runs.

With CHUNK, the file is sent in requests of so many bytes, each with its checksum.
"""

import os
import sys

from tusclient.client import TusClient
from tusclient.storage.interface import Storage

endpoint, file, note, *chunk = sys.argv[1:]


class Note(Storage):
    """Whole or not at all, whenever this program is killed."""

    def get_item(self, key):
        if not os.path.exists(note):
            return None
        with open(note, encoding="utf-8") as kept:
            return kept.read()

    def set_item(self, key, url):
        if url is None:
            return
        with open(note + ".new", "w", encoding="utf-8") as kept:
            kept.write(url)
        os.rename(note + ".new", note)

    def remove_item(self, key):
        os.remove(note)


how = {"chunk_size": int(chunk[0]), "upload_checksum": True} if chunk else {}
uploader = TusClient(endpoint).uploader(
    file,
    store_url=True,
    url_storage=Note(),
    metadata={"filename": "film.mp4", "filetype": "video/mp4"},
    **how,
)
uploader.upload()
print(uploader.url)
