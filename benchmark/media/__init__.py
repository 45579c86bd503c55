"""Read and write sound, pictures and video: the only room that touches codecs.

Sound comes out as mono float32 at the rate asked for, pictures as `[H, W, 3]` uint8 RGB, video as `[T, H, W, 3]` uint8.
A file that cannot be used raises MediaError, which names the file and the reason, whatever is wrong with it: what the
operating system says of one file is that file's error too. What was done to read a file all the same, such as bridging
a gap, is said by `benchmark.remarks.remark`; nothing is ever repaired silently.

    files         names, first bytes, opening
    wholeness     whether a file is whole, by its outline
    containers    tracks and frames, by ffmpeg
    time_stamps   where pictures and samples lie
    sound, pictures, video
    squares       squares cut out of pictures
    face_video    a speaker's face, found, followed and cropped
    mouth_video   a speaker's mouth, by landmarks of the face
    mouth_opening how far a mouth is open
    video_cache   what was read from videos last
    mixing        speech in noise
    clips         what of a sample a method is given: crops and mixtures
"""

from __future__ import annotations

from benchmark.media.files import (
    AUDIO_SUFFIXES,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    check_header,
    file_status,
    is_audio,
    is_image,
    is_video,
    regular_file,
)
from benchmark.media.pictures import MAX_PIXELS, read_image, write_image
from benchmark.media.sound import (
    MAX_SECONDS,
    AudioHeader,
    audio_header,
    audio_seconds,
    converted,
    read_audio,
    read_part,
    write_audio,
)
from benchmark.media.video import (
    MAX_VIDEO_BYTES,
    decoded_frames,
    frame_pixels,
    opencv_grey,
    pictures_on_screen,
    read_video,
    since_sound,
    sound_delay,
    write_video,
)

__all__ = [
    "AUDIO_SUFFIXES",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "MAX_SECONDS",
    "MAX_VIDEO_BYTES",
    "VIDEO_SUFFIXES",
    "AudioHeader",
    "audio_header",
    "audio_seconds",
    "check_header",
    "converted",
    "decoded_frames",
    "file_status",
    "frame_pixels",
    "is_audio",
    "is_image",
    "is_video",
    "opencv_grey",
    "pictures_on_screen",
    "read_audio",
    "read_image",
    "read_part",
    "read_video",
    "regular_file",
    "since_sound",
    "sound_delay",
    "write_audio",
    "write_image",
    "write_video",
]
