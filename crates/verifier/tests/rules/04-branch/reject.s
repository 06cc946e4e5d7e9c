# control runs off the end
> refused: control leaves the function
    mov eax, esi

# a branch runs off the end
> refused: control leaves the function
    mov eax, esi
    test esi, esi
    jne .end
    ret
.end:

# a conditional branch to another function
> refused: control leaves the function
    mov eax, esi
    test esi, esi
    jne @other
    ret

# a branch into an instruction
> refused: into an instruction
.start:
    bytes b8            ; mov eax, ...
.inside:
    bytes 90 90 90 90
    test esi, esi
    jne .inside
    ret

# a branch to a constant
> refused: or to data
    mov eax, [.number]
    test esi, esi
    jne .number
    ret
.number:
    bytes 90 90 90 c3

# a breakpoint at the end
> metered: yes
> refused: control leaves the function
    int3

# an entry that a clamped index never takes leads away
> refused: control leaves the function
    mov eax, esi
    and eax, 1
    mov ecx, 2
    cmp eax, 2
    cmovb ecx, eax
    lea rax, [.table]
    movsxd rdx, dword [rax + rcx*4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
    offset @other minus .table
.one:
    mov eax, 1
    ret
