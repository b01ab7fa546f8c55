 .section .text,"xr",discard,entry
 .globl entry
 .p2align 2
entry:
 mov w0, #1
 ret
 .section .rdata,"dr"
 .globl _load_config_used
 .p2align 3, 0
_load_config_used:
 .word 0x140
 .fill 196,1,0
 .xword __chpe_metadata
 .fill 0x140-208,1,0
 .globl __chpe_metadata
 .p2align 3,0
__chpe_metadata:
 .word 1
 .rva __hybrid_code_map
 .word __hybrid_code_map_count
 .fill 0x80,1,0
