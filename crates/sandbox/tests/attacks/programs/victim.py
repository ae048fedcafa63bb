"""Not an attack: the neighbour that is attacked. It keeps a secret everywhere and goes on until it is ended.

Its output says where the secret lies in memory, then nothing; its command line holds `the-victim-runs`.
"""

import time

SECRET = ctypes.create_string_buffer(b"secret-of-the-victim in memory")
with open("/tmp/secret", "w") as file:
    file.write("secret-of-the-victim in /tmp")
print("address", ctypes.addressof(SECRET), flush=True)
while True:
    time.sleep(3600)
