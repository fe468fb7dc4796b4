"""The independent judge: what the recorded provider traffic says, read without any code of app/."""
