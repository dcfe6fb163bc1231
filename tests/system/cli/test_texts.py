#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is said where nothing is wrong: help, manual and man pages name the same options, devices, properties,
defaults and log items; -d and -D do what they say.

usage: test_texts.py ORIEL ORIEL_GPU
"""

import os
import re
import struct
import subprocess
import sys
import tempfile

TIMEOUT = 20  # seconds
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../..')
failures = []


def expect(condition, text):
    if not condition:
        failures.append(text)


def output(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
                          timeout=TIMEOUT).stdout


def page(name):
    with open(os.path.join(SOURCE, 'docs', name), encoding='utf-8') as file:
        text = file.read()
    return re.sub(r'\\f.', '', text).replace('\\-', '-') if name.startswith('man/') else text


def names(option, text):
    return re.search(r'(?<![\w-])' + re.escape(option) + r'(?![\w-])', text) is not None


def check_options(oriel, picture):
    manual, man, man_gpu = page('manual.md'), page('man/oriel.1'), page('man/oriel-gpu.1')
    options = re.findall(r'^  (-\w[\w-]*)', output(oriel, '-help'), re.MULTILINE)
    gpu_options = re.findall(r'(--\w[\w-]*)', output(picture, '--help'))
    expect(len(options) > 30 and len(gpu_options) > 15, 'help texts are not understood')
    for option in options:
        expect(names(option, manual), f'manual.md lacks {option}')
        expect(names(option, man), f'oriel.1 lacks {option}')
    for option in set(gpu_options):
        expect(names(option, manual), f'manual.md lacks {option}')
        expect(names(option, man_gpu), f'oriel-gpu.1 lacks {option}')
    for row in re.findall(r'^\| (`-.*?`) \|', manual, re.MULTILINE):
        for option in re.findall(r'`(--?\w[\w-]*)', row):
            expect(option in options + gpu_options, f'manual.md has {option}, which there is not')
    for text, known, name in ((man, options, 'oriel.1'), (man_gpu, gpu_options, 'oriel-gpu.1')):
        for option in re.findall(r'^\.BI? (--?\w[\w-]*)', text, re.MULTILINE):
            expect(option in known, f'{name} has {option}, which there is not')


def defaults_of(manual):
    """Of the tables with a column for them: property to default."""
    result = {}
    for left, right in re.findall(r'^\| (`[a-z_`, -]*`) \|.*\| ([^|]*) \|$', manual, re.MULTILINE):
        properties = re.findall(r'`([\w-]+)`', left)
        values = [value.strip() for value in right.split(',')]
        result.update(dict(zip(properties, values)))
    return result


def check_devices(oriel):
    manual = page('manual.md')
    documented = defaults_of(manual)
    devices = re.findall(r'^  (\w\S*)', output(oriel, '-device', 'help'), re.MULTILINE)
    expect('virtio-gpu-gl-pci' in devices, '-device help is not understood')
    for device in devices:
        expect(f'{device}' in manual, f'manual.md lacks {device}')
        text = output(oriel, '-device', f'{device},help')
        for name, rest in re.findall(r'^  (\S+?)=<\S*>(.*)$', text, re.MULTILINE):
            default = re.search(r'\(default: (.*?)\)', rest)
            expect(f'`{name}`' in manual, f'manual.md lacks {device},{name}')
            expect(not default or documented.get(name) == default.group(1),
                   f'{device},{name}: {default and default.group(1)}, in manual.md {documented.get(name)}')


def check_log_items(oriel):
    manual, man = page('manual.md'), page('man/oriel.1')
    items = re.findall(r'^  (\w+)', output(oriel, '-d', 'help'), re.MULTILINE)
    expect(len(items) == 8, f'-d help: {items}')
    for item in items:
        expect(f'| `{item}` |' in manual and names(item, man), f'the documents lack -d {item}')


def check_small_texts(oriel, picture):
    version = output(oriel, '-version')
    expect(re.fullmatch(r'oriel \d+\.\d+\.\d+\n', version), version)
    expect(re.fullmatch(r'oriel-gpu \d+\.\d+\.\d+\n', output(picture, '--version')), 'oriel-gpu --version')
    for option in ('-accel', '-machine', '-M', '-cpu', '-device', '-display', '-d'):
        expect(len(output(oriel, option, 'help').splitlines()) > 1, f'{option} help')
    for help_option in ('-h', '--help'):
        expect(output(oriel, help_option) == output(oriel, '-help'), help_option)


def dying_kernel():
    """in al, 0x99; mov eax, [0xf0000000]; ud2: a triple fault, as there is no IDT."""
    code = b'\xe4\x99\xa1\x00\x00\x00\xf0\x0f\x0b'
    base, flags = 0x100000, 1 << 16
    return struct.pack('<8I', 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xffffffff,
                       base, base, base + 32 + len(code), 0, base + 32) + code


LOGGED = {
    'unimp': ['unimp: ports: nothing answers a read of 1 at 0x99',
              'unimp: memory: nothing answers a read of 4 at 0xf0000000'],
    'int': ['int: cpu 0: vector 0x06 fault at 0010:0000000000100027 cpl 0 rsp 0018:0000000000000000',
            'int: cpu 0: vector 0x0d fault error 0x0033 at 0010:0000000000100027 cpl 0 rsp 0018:0000000000000000',
            'int: cpu 0: vector 0x08 fault error 0x0000 at 0010:0000000000100027 cpl 0 rsp 0018:0000000000000000'],
    'exec': ['exec: cpu 0: 0010:0000000000100020'],
    'in_asm': ['in_asm: cpu 0: block of 3, 32 bits, at physical 0x100020',
               'in_asm: 0000000000100020  e4 99',
               'in_asm: 0000000000100022  a1 00 00 00 f0',
               'in_asm: 0000000000100027  0f 0b'],
}


def run_dying(oriel, *options):
    """What a guest that dies at once makes the program say."""
    done = subprocess.run([oriel, '-accel', 'soft', '-nodefaults', '-no-reboot', '-display', 'none', '-kernel',
                           'dying', *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)
    expect(done.returncode == 0, f'{options}: status {done.returncode}, {done.stderr}')
    return done.stderr


def check_logging(oriel):
    with open('dying', 'wb') as file:
        file.write(dying_kernel())
    plain = run_dying(oriel).splitlines()
    idle = run_dying(oriel, '-display', 'egl-headless').splitlines()
    expect(idle == ['oriel: warning: -display: there is no GPU to show (-device virtio-gpu-gl-pci)'] + plain,
           f'a display without a GPU: {idle}')
    expect(len(plain) == 2 and 'triple fault' in plain[0], f'without -d: {plain}')
    for item, wanted in LOGGED.items():
        lines = run_dying(oriel, '-d', item).splitlines()
        expect(lines == wanted + plain, f'-d {item}: {lines}')
    text = run_dying(oriel, '-d', 'cpu_reset')
    expect('\ncpu_reset: cpu 0: triple fault\ncpu_reset: rax 00000000ffffffff rcx ' in text, text)
    expect('cpu_reset: rip 0000000000100027 rflags 00000002\n' in text, text)
    lines = run_dying(oriel, '-d', 'stats').splitlines()
    for wanted in ('stats: vm: ram_bytes_reserved 536739840', 'stats: cpu 0: blocks_decoded 1',
                   'stats: cpu 0: exceptions 3'):
        expect(wanted in lines, f'-d stats: {lines}')
    expect(all(line.startswith('stats: ') for line in set(lines) - set(plain)), f'-d stats: {lines}')
    with open('log', 'w', encoding='utf-8') as file:
        file.write('old\n')
    expect(run_dying(oriel, '-d', 'unimp', '-d', 'exec', '-D', 'log') == '', '-D leaves nothing on stderr')
    with open('log', encoding='utf-8') as file:
        lines = file.read().splitlines()
    expect(lines == LOGGED['exec'] + LOGGED['unimp'] + plain, f'-D: {lines}')


def main():
    oriel, picture = map(os.path.abspath, sys.argv[1:3])
    check_options(oriel, picture)
    check_devices(oriel)
    check_log_items(oriel)
    check_small_texts(oriel, picture)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        check_logging(oriel)
        os.chdir('/')
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
