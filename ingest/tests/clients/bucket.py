"""boto3 as a program, which prints JSON. KEY is a file with an access key's id and its secret.

bucket.py ENDPOINT KEY BUCKET part OBJECT UPLOAD FILE   sends part 1 of an upload under way; its parts before and after
bucket.py ENDPOINT KEY BUCKET look PREFIX OBJECT        lists what lies below, and reads one object through
"""

import hashlib
import json
import sys

import boto3

endpoint, key, bucket, verb, *rest = sys.argv[1:]
with open(key, encoding="utf-8") as kept:
    key_id, secret = kept.read().split()
s3 = boto3.client(
    "s3",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id=key_id,
    aws_secret_access_key=secret,
)


def part(name, upload, file):
    under_way = {"Bucket": bucket, "Key": name, "UploadId": upload}

    def parts():
        listed = s3.list_parts(**under_way).get("Parts", [])
        return {str(part["PartNumber"]): part["Size"] for part in listed}

    before = parts()
    with open(file, "rb") as body:
        s3.upload_part(PartNumber=1, Body=body, **under_way)
    return {"before": before, "after": parts()}


def look(prefix, name):
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [found["Key"] for page in listed for found in page.get("Contents", [])]
    digest = hashlib.sha256()
    for piece in s3.get_object(Bucket=bucket, Key=name)["Body"].iter_chunks(1 << 20):
        digest.update(piece)
    head = s3.head_object(Bucket=bucket, Key=name)
    return {"keys": keys, "size": head["ContentLength"], "sha256": digest.hexdigest()}


print(json.dumps({"part": part, "look": look}[verb](*rest)))
