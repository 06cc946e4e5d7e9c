# forwards and backwards
.again:
    sub esi, 1
    jne .again
    jmp .end
.end:
    mov eax, esi
    ret
