"""The named cases of the benchmark: layers of real decoders at the lengths they run at."""

from lucid_keras.bench.workload import Workload

NAMED = {
    "hifi_up1": Workload(512, 256, 16, 8, 4, length=100),
    "hifi_up2": Workload(256, 128, 16, 8, 4, length=800),
    "hifi_up3": Workload(128, 64, 4, 2, 1, length=6400),
    "hifi_up4": Workload(64, 32, 4, 2, 1, length=12800),
    "encodec_up2": Workload(256, 128, 10, 5, length=400),
    "demucs": Workload(384, 192, 8, 4, 2, length=1000),
    "wavegan": Workload(64, 32, 25, 4, 11, 1, length=4096),
    "dac_up": Workload(1536, 768, 16, 8, 4, length=64),
    "istft": Workload(1026, 1, 1024, 256, length=200),
    "grouped": Workload(256, 256, 8, 4, 2, groups=4, length=1000),
    "depthwise": Workload(64, 64, 12, 2, 5, groups=64, length=4000),
    "bigvgan_up": Workload(512, 512, 12, 2, 5, groups=512, length=800),
    "mimi_up": Workload(512, 512, 4, 2, groups=512, length=400),
    "kokoro_pool": Workload(512, 512, 3, 2, 1, 1, groups=512, length=800),
    "dilated": Workload(64, 64, 5, padding=6, dilation=3, length=4000),
    "dilated_strided": Workload(64, 64, 5, 2, dilation=3, length=2000),
}
