# a constant after the code
    mov eax, [.number]
    ret
.number:
    bytes 2a 00 00 00

# a jump that nothing leads to, between code
    jmp .end
    jmp .end
.end:
    mov eax, esi
    ret

# both halves of a constant, read apart
    mov eax, [.number]
    add eax, [.second]
    ret
.number:
    bytes 2a 00 00 00
.second:
    bytes 2a 00 00 00
